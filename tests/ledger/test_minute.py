"""The minute at the top of a paper's page: what it says with and without a record, and where its links lead."""

from __future__ import annotations

import html
import re
import subprocess
from pathlib import Path

import nbformat
import pytest
import yaml

from edgebook.ledger import Claim, Verdict, in_one_minute
from edgebook.ledger.record import ClaimResult, Hardware, Record, save_record

PARAMETERS = 'tier: str = "book"  # scale\nseeds: int = 2  # repetitions\ntrain: int = 100  # images\n'
FULL = {"tier": "full", "seeds": 8, "train": 5000}
PAPER = {
    "name": "toy", "short": "Toy", "title": "On toys", "year": 2020, "wing": "compression", "cite": "toy2020",
    "question": "Is it more?", "read": "The abstract.",
    "scale": [{"what": "images", "paper": "50,000", "here": "{train:,} in {seeds} seeds"}],
    "links": {"arxiv": "2101.00001", "doi": "10.1000/182", "code": "https://example.org/code"},
}  # fmt: skip
ANSWER = {"finding": "It is more, and less than they say.", "rests_on": {"direction only": ["T-1"]},
          "change": "A larger network."}  # fmt: skip
FIELDS = {"says": "It is more.", "where": "abstract", "measures": "a - b", "unit": "points", "expects": "positive",
          "margin": 1.0}  # fmt: skip
HEADLINE = FIELDS | {"id": "T-1", "target": 5.0, "size": "about", "tolerance": 1.0, "headline": True}
BESIDE = FIELDS | {"id": "T-2", "kind": "control", "where": "our control"}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for folder in ("book/claims", "notebooks", "src/edgebook", "results/full"):
        (tmp_path / folder).mkdir(parents=True)
    cell = nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}, id="p")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "notebooks/toy.ipynb")
    (tmp_path / "notebooks/tiers.yml").write_text("toy: {full: {seeds: 8, train: 5000}}\n")
    statements = [{"says": "More <b>.", "tested_by": ["T-1", "T-2"]}, {"says": "Cheap.", "untested": "no prices"}]
    ledger = {"title": "On toys", "cite": "toy2020", "statements": statements, "claims": [HEADLINE, BESIDE],
              "choices": [{"name": "gain", "says": "Four.", "claims": ["T-1"]}]}  # fmt: skip
    (tmp_path / "book/claims/toy.yml").write_text(yaml.safe_dump(ledger))
    catalogue(tmp_path, PAPER)
    monkeypatch.setenv("EDGEBOOK_ROOT", str(tmp_path))
    return tmp_path


def catalogue(root: Path, paper: dict) -> None:
    wings = {"compression": {"title": "Compression", "says": "Less."}}
    (root / "book/papers.yml").write_text(yaml.safe_dump({"wings": wings, "papers": [paper]}))


def record(root: Path) -> None:
    """Commit a run that is stale, since it has nothing under the ledger's choice."""
    same = {
        "samples": (2.0, 3.0, 4.0), "mean": 3.0, "interval": (1.5, 4.5), "method": "Student", "effect": "shown",
        "gap": None, "p_value": 0.01, "reason": "beyond the margin",
    }  # fmt: skip
    words = {Verdict.DIRECTION_ONLY: HEADLINE, Verdict.HELD: BESIDE}
    results = [
        ClaimResult(claim=Claim(**claim), size=None, alone=word, verdict=word, holm_verdict=word, **same)
        for word, claim in words.items()
    ]
    made = Record(
        notebook="toy", title="On toys", tier="full", scale="toys & 5,000 images", parameters=FULL,
        seeds=tuple(range(8)), results=tuple(results), commit="abc", dirty=False, fingerprint="other", versions={},
        hardware=Hardware(cpu="c", cores=1, gpu=None, platform="p"), seconds=1.0, started="2026-11-26T01:02:03",
    )  # fmt: skip
    save_record(made, root / "results/full")


def text_of(drawn: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", drawn)).split())


def links_of(drawn: str) -> list[str]:
    return [html.unescape(link) for link in re.findall(r'href="([^"]+)"', drawn)]


def test_without_a_record_it_says_so_and_shows_paper_scale_and_links(root: Path) -> None:
    minute = in_one_minute("toy")
    text = text_of(minute.html())
    assert "Is it more?" in text and "No run at tier full has been recorded yet." in text
    assert "images 50,000 5,000 in 8 seeds" in text
    assert "Read of the paper: The abstract." in text
    assert "T-1 not run yet" in text
    assert "claim-strip" not in minute.html() and "What would change" not in text
    assert str(minute).splitlines()[0] == "Is it more?"
    assert links_of(minute.html())[-2:] == ["../book/claims/toy.yml", "../notebooks/toy.ipynb"]
    assert {"https://arxiv.org/abs/2101.00001", "https://doi.org/10.1000/182", "https://example.org/code"} <= {
        *links_of(minute.html())
    }


def test_with_a_record_it_answers(root: Path) -> None:
    catalogue(root, PAPER | ANSWER)
    record(root)
    drawn = in_one_minute("toy").html()
    text = text_of(drawn)
    assert "The answer: It is more, and less than they say." in text
    assert text.index("The answer") < text.index("T-1 direction only It is more. 3.0 [1.5, 4.5] points")
    assert "Recorded run: toys & 5,000 images, 8 seeds." in text and "It is stale: " in text
    assert "What would change this: A larger network." in text
    assert drawn.count("claim-strip") == 1  # of the headline alone
    assert "More <b>. T-1 direction only T-2 held" in text
    assert "Cheap. Not tested: no prices." in text
    assert {"#t-1", "#t-2"} <= {*links_of(drawn)}
    assert "../results/full/toy.json" in links_of(drawn)


def test_without_a_finding_the_answer_is_the_words_of_the_headlines(root: Path) -> None:
    record(root)
    assert "The answer: T-1 direction only." in text_of(in_one_minute("toy").html())


def test_a_page_of_the_book_links_to_what_the_book_carries(root: Path) -> None:
    record(root)
    assert links_of(in_one_minute("toy").html(book=True))[-3:] == [
        "../_static/ledger/toy.yml", "../_static/records/toy.json", "../_sources/notebooks/toy.ipynb",
    ]  # fmt: skip


@pytest.mark.parametrize("book", [True, False])
def test_with_an_address_of_the_repository_links_lead_there(root: Path, book: bool) -> None:
    record(root)
    (root / "_config.yml").write_text("repository: {url: 'https://example.org/us/book/', branch: next}\n")
    front = "https://example.org/us/book/blob/next/"
    assert links_of(in_one_minute("toy").html(book=book))[-3:] == [
        f"{front}book/claims/toy.yml", f"{front}results/full/toy.json", f"{front}notebooks/toy.ipynb",
    ]  # fmt: skip


def test_ledger_and_record_have_the_commit_that_changed_them_last(root: Path) -> None:
    def git(*words: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        return subprocess.run(["git", *who, *words], cwd=root, check=True, capture_output=True, text=True).stdout

    git("init", "-q")
    git("add", "book")
    git("commit", "-q", "-m", "ledger", "--date", "2026-01-02T03:04:05+00:00")
    commit, when = git("log", "-1", "--format=%h %cs").split()
    text = text_of(in_one_minute("toy").html())
    year, month, day = when.split("-")
    assert re.search(rf"ledger \(commit {commit[:7]}, {int(day)} \w{{3}} {year}\) ·", text), text
    assert month


def test_an_unknown_paper_is_refused_with_the_nearest(root: Path) -> None:
    with pytest.raises(ValueError, match="There is no paper 'toys'; did you mean 'toy'"):
        in_one_minute("toys")
