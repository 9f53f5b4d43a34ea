"""Names of notebooks, and the values that tiers give their parameters."""

from __future__ import annotations

import pytest

from edgebook import notebooks


@pytest.fixture
def tiered(checkout):
    checkout.notebook("notebooks/density.ipynb")
    checkout.notebook("book/data.ipynb")
    checkout.write("notebooks/tiers.yml", "density:\n  quick: {seeds: 1, rate: 1}\n  full: {seeds: 8}\n")
    return checkout


def test_papers_and_pages_are_found(tiered):
    assert notebooks.paper_names() == ["density"]
    assert notebooks.page_names() == ["data"]
    assert notebooks.find("density") == tiered.root / "notebooks" / "density.ipynb"
    assert notebooks.find("data") == tiered.root / "book" / "data.ipynb"


def test_an_unknown_name_is_answered_with_the_nearest(tiered):
    with pytest.raises(ValueError, match="no notebook 'densty'; did you mean 'density'"):
        notebooks.find("densty")
    with pytest.raises(ValueError, match="no tier 'ful'; did you mean 'full'"):
        notebooks.resolve("density", "ful")
    with pytest.raises(ValueError, match="no parameter 'seed'; did you mean 'seeds'"):
        notebooks.resolve("density", "book", {"seed": 1})


def test_settings_go_before_the_tier_and_the_tier_before_the_defaults(tiered):
    assert notebooks.resolve("density", "book") == {"tier": "book", "seeds": 3, "rate": 0.5}
    assert notebooks.resolve("density", "quick") == {"tier": "quick", "seeds": 1, "rate": 1.0}
    assert notebooks.resolve("density", "full", {"rate": 2}) == {"tier": "full", "seeds": 8, "rate": 2.0}
    assert type(notebooks.resolve("density", "quick")["rate"]) is float


def test_a_page_has_its_defaults_at_every_tier_but_a_paper_must_say(tiered):
    assert notebooks.resolve("data", "quick") == {"tier": "quick", "seeds": 3, "rate": 0.5}
    with pytest.raises(ValueError, match="no entry for tier 'paper' of 'density'"):
        notebooks.resolve("density", "paper")


def test_a_tier_is_chosen_not_set(tiered):
    with pytest.raises(ValueError, match="set by choosing a tier"):
        notebooks.resolve("density", "book", {"tier": "full"})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("densty: {quick: {}}", "names the notebook 'densty'; did you mean 'density'"),
        ("density: {quik: {}}", "no tier 'quik'; did you mean 'quick'"),
        ("density: {quick: {seed: 1}}", "tiers.yml, density, quick: .*no parameter 'seed'"),
        ("density: {quick: {seeds: 1.5}}", "'seeds' takes an int, not 1.5"),
        ("density: {quick: {rate: 1e-3}}", "write 1.0e-3"),
        ("density: {quick: {tier: full}}", "set by choosing a tier"),
        ("density: {quick: 3}", "must map parameters"),
        ("density: 3", "must map tiers"),
        ("- density", "must map notebooks"),
        ("density: {", "is not YAML"),
    ],
)
def test_a_tier_file_that_does_not_fit_is_refused_in_one_sentence(tiered, text, says):
    tiered.write("notebooks/tiers.yml", text)
    with pytest.raises(ValueError, match=says) as refusal:
        notebooks.overrides("density", "quick")
    assert "\n" not in str(refusal.value)
