# Set-up and the usual jobs; `make help` lists them. Each target does all the set-up that it needs.

.DEFAULT_GOAL := help

# Any of these may be given on the command line: make book PYTHON=python3.13 JOBS=4
PYTHON ?= python3
JOBS   ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
PORT   ?= 8000
PAPER  ?=
NAME   ?=

VENV := .venv
BIN  := $(VENV)/bin
# nbmake skips every path with _build in it, so notebooks are tested here and moved to _build/nbmake afterwards.
NBMAKE := .nbmake

# As many processes as cores and one thread in each: two threads on two busy cores are slower than one.
export OMP_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export NUMEXPR_NUM_THREADS := 1
export VECLIB_MAXIMUM_THREADS := 1
# glibc keeps large tensors for the next training step instead of returning them to the system, as in runner.py.
export MALLOC_MMAP_MAX_ := 0
export MALLOC_TRIM_THRESHOLD_ := 100000000000
# Notebooks find the kernel of this environment, not one of the same name in the home folder.
export JUPYTER_PREFER_ENV_PATH := 1

.PHONY: help venv book test lab serve data sweep record confirm picture clean distclean

help: ## this list
	@echo "make <target>, where target is one of:"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1 # \2/p' $(firstword $(MAKEFILE_LIST)) | awk -F ' # ' '{ printf "%-12s%s\n", $$1, $$2 }'

venv: $(VENV)/.installed ## the environment in .venv, with the exact versions of constraints.txt

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Python 3.11 or later is needed, and '$(PYTHON)' is not one; name another with: make PYTHON=python3.12" >&2; \
	  exit 1; }
	@echo "== Creating the environment in $(VENV) with $(PYTHON)"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "== Installing the locked packages (once; some minutes)"
	@PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 \
	  $(BIN)/python -m pip install --quiet --editable '.[autonomy,book,cluster,decoding,lab,peft,ray,test,dev]' setuptools wheel
	@touch $@

book: venv ## execute what is out of date and render the book to _build/html (JOBS=cores)
	@echo "== Executing the notebooks that are out of date and rendering the book, $(JOBS) at once"
	@$(BIN)/snakemake --cores $(JOBS) --rerun-incomplete --nolock --keep-going book
	@echo "== The book is at _build/html/index.html; 'make serve' shows it"

test: venv ## all tests: units and guards, every notebook, the book, the book in a browser (JOBS=cores)
	@echo "== Units, properties and guards, $(JOBS) at once"
	@# One process makes thousands of models here, so memory goes back to the system.
	@# What starts processes or opens ports stays with its like: see the mark `alone` in pyproject.toml.
	@env -u MALLOC_MMAP_MAX_ -u MALLOC_TRIM_THRESHOLD_ $(BIN)/python -m pytest -n $(JOBS) --dist loadgroup tests
	@echo "== Every notebook at tier quick"
	@rm -rf $(NBMAKE) _build/nbmake
	@$(BIN)/python -m edgebook prepare --tier quick --out $(NBMAKE)
	@EDGEBOOK_OUT='$(CURDIR)/$(NBMAKE)' $(BIN)/python -m pytest -n $(JOBS) --dist worksteal --nbmake --overwrite \
	  --nbmake-kernel=python3 --nbmake-timeout=120 $(NBMAKE)
	@mkdir -p _build && mv $(NBMAKE) _build/nbmake
	@echo "== What their figures and cards show equals their records"
	@EDGEBOOK_EXECUTED='$(CURDIR)/_build/nbmake' $(BIN)/python -m pytest -n 0 tests/book/test_drawn.py
	@echo "== The book from these notebooks, with warnings as errors"
	@$(BIN)/python -m edgebook.pages.render --executed _build/nbmake --stage _build/test-stage --out _build/test-html
	@echo "== The book in a browser"
	@EDGEBOOK_HTML='$(CURDIR)/_build/test-html' $(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m browser \
	  tests/browser

lab: venv ## open JupyterLab on the notebooks
	@echo "== Starting JupyterLab; stop it with Ctrl-C"
	@$(BIN)/jupyter lab --ServerApp.root_dir='$(CURDIR)' --LabApp.default_url=/lab/tree/notebooks

serve: venv ## show the rendered book on this machine's loopback address (PORT=8000)
	@test -f _build/html/index.html || { echo "There is no book yet: run 'make book' first." >&2; exit 1; }
	@echo "== The book is at http://127.0.0.1:$(PORT)/ until Ctrl-C"
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

data: venv ## the image sets that are here and that can be had, or fetch one (NAME=set); nothing else fetches any
	@$(BIN)/python -m edgebook data $(if $(NAME),fetch '$(NAME)')

sweep: venv ## every point of a sweep, and its table (NAME=sweep); resumes where it was stopped
	@test -n '$(NAME)' || { echo "Name the sweep: make sweep NAME=quick" >&2; exit 1; }
	@$(BIN)/python -m edgebook sweep '$(NAME)' >/dev/null
	@echo "== Running the sweep $(NAME); every point that is done stays done"
	@$(BIN)/snakemake sweep --cores $(JOBS) --config name='$(NAME)'
	@echo "== Its table is at _build/sweeps/$(NAME).csv and .parquet"

record: venv ## the verdict-grade run of a paper into results/full (PAPER=name), or of all; resumes where it was stopped
	@$(BIN)/python -m edgebook data needed $(PAPER)
	@echo "== Running $(or $(PAPER),every paper) at tier full; each takes from half an hour to some hours"
	@$(BIN)/snakemake --cores $(JOBS) --rerun-incomplete --nolock record $(if $(PAPER),--config paper='$(PAPER)')
	@echo "== Recorded in results/full"

confirm: venv ## one seed of a record again at tier full, equal to the last bit or stale (PAPER=name), or of all
	@echo "== Running one recorded seed of $(or $(PAPER),every paper) again; each takes from three minutes to a quarter of an hour"
	@$(BIN)/python -m edgebook confirm $(PAPER)

picture: venv ## the picture of all claims and the table in the README, from the committed records
	@$(BIN)/python -m edgebook.pages.picture

clean: ## remove what was built
	@echo "== Removing _build and the caches"
	@rm -rf _build $(NBMAKE) .snakemake .hypothesis .pytest_cache .ruff_cache .benchmarks build dist
	@find . -path ./$(VENV) -prune -o -path ./.git -prune -o -name __pycache__ -type d -exec rm -rf {} +

distclean: clean ## remove the environment too
	@echo "== Removing $(VENV)"
	@rm -rf $(VENV) src/*.egg-info
