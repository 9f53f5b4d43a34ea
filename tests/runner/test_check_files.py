"""Names of machines and package hosts, and products of a run, are found in what is committed."""

from __future__ import annotations

import subprocess

import pytest

from edgebook.pages.check.files import is_built, problems_of, tracked


def test_what_git_ignores_is_left_out_and_what_it_would_add_is_not(checkout):
    host = "see https://py" + "pi.org"
    for name in ("ignored.txt", "added.txt"):
        checkout.write(name, host)
    checkout.write(".gitignore", "ignored.txt\n")
    assert len(list(tracked(checkout.root))) == 2, "without a repository, everything but what is built"
    subprocess.run(["git", "init", "-q"], cwd=checkout.root, check=True)
    (said,) = tracked(checkout.root)
    assert said == "added.txt, line 1 names the host py" + "pi.org."


def test_products_and_large_files_are_named(checkout):
    checkout.write("out.ipynb", "{}")
    checkout.write("results/full/large.csv", "1" * 2_000_001)
    (checkout.root / "results/full/image.png").write_bytes(b"\xff\xfe\x00")
    assert list(tracked(checkout.root)) == [
        "out.ipynb is a product of a run.",
        "results/full/large.csv has 2000001 bytes; 2000000 are the most.",
    ]


@pytest.mark.parametrize("text", [
    "index = https://files.python" + "hosted.org/packages",
    "--extra-index-url https://download.py" + "torch.org/whl/cpu",
    "see PyPI" + ".org",
    'open("/ho' + 'me/ann/data.npz")',
    "cd /wo" + "rk/main",
    "cache: /ro" + "ot/.cache",
    "File /Us" + "ers/ann/book.ipynb",
    "/tmp/" + "abc/out.json",
])  # fmt: skip
def test_a_machine_or_host_is_caught(text: str) -> None:
    assert len(list(problems_of(text))) == 1


@pytest.mark.parametrize("text", [
    "https://arxiv.org/abs/2002.07339",
    "the folder _build/wo" + "rk/html",
    'f"{folder}/ro' + 'ot/x"',
    "and/or, work/home",
])  # fmt: skip
def test_ordinary_text_passes(text: str) -> None:
    assert list(problems_of(text)) == []


def test_products_are_recognised() -> None:
    for name in (
        "_build/html/index.html",
        "out.ipynb",
        "src/edgebook.egg-info/PKG-INFO",
        "src/x/__pycache__/a.pyc",
    ):
        assert is_built(name), name
    for name in ("notebooks/a.ipynb", "results/full/a.json", "src/edgebook/build.py"):
        assert not is_built(name), name
