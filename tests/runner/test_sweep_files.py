"""Files of sweeps: what they mean, and what is refused before anything runs."""

from __future__ import annotations

from itertools import product

import pytest

from edgebook import notebooks
from edgebook.__main__ import main
from edgebook.notebooks import runner
from edgebook.pages.check import check
from edgebook.sweeps import sweep_file
from edgebook.sweeps.points import points_of
from edgebook.sweeps.table import schema_of

GRID = "grid: {width: [4, 8], deep: [true, false]}"
GOOD = f"""
says: Which rate?
notebook: toy
tier: quick
base: {{rate: 0.25}}
seeds: 2
{GRID}
"""
NOT_BOTH = "either 'grid' or 'list' must say what the points are, and not both."
PARAMETERS = (
    'tier: str = "book"  # tier\nseeds: int = 3  # how many\nrate: float = 0.5  # of learning\n'
    "width: int = 2  # of a layer\ndeep: bool = False  # or not\nname: str = 'a'  # of it\n"
)


@pytest.fixture
def toy(checkout):
    checkout.notebook("notebooks/toy.ipynb", "1 + 1", parameters=PARAMETERS)
    checkout.write("notebooks/tiers.yml", "toy: {quick: {seeds: 1, name: b}, full: {seeds: 8}}\n")
    checkout.write("book/claims/toy.yml", "claims: [{id: A-1}, {id: A-2, kind: control}]\n")
    checkout.write("notebooks/sweeps/toy.yml", GOOD)
    return checkout


def test_a_grid_is_the_product_of_its_values_over_the_tier(toy):
    points = points_of("toy")
    assert [(p.values["width"], p.values["deep"]) for p in points] == list(product([4, 8], [True, False]))
    for point in points:
        rest = {name: point.values[name] for name in ("tier", "seeds", "rate", "name")}
        assert rest == {"tier": "quick", "seeds": 2, "rate": 0.25, "name": "b"}
        assert point.values == notebooks.resolve("toy", "quick", point.settings)


def test_a_list_names_its_points(toy):
    toy.write("notebooks/sweeps/toy.yml", GOOD.replace(GRID, "list: [{width: 4}, {}, {deep: true}]"))
    points = points_of("toy")
    assert [(p.values["width"], p.values["deep"]) for p in points] == [(4, False), (2, False), (2, True)]
    assert sweep_file.load("toy").varied == ["width", "deep"]


def test_the_id_is_that_of_parameters_and_code(toy):
    first = [point.id for point in points_of("toy")]
    assert len(set(first)) == 4
    toy.write("notebooks/sweeps/other.yml", GOOD.replace("Which rate?", "Again?").replace("[4, 8]", "[8, 16]"))
    assert [point.id for point in points_of("other")][:2] == first[2:], "the same runs, asked for by another sweep"
    toy.notebook("notebooks/toy.ipynb", "# text", "1 + 1  # a comment", parameters=PARAMETERS)
    assert [point.id for point in points_of("toy")] == first
    toy.notebook("notebooks/toy.ipynb", "1 + 2", parameters=PARAMETERS)
    assert not {point.id for point in points_of("toy")} & set(first)
    toy.notebook("notebooks/toy.ipynb", "1 + 1", parameters=PARAMETERS)
    toy.write("notebooks/tiers.yml", "toy: {quick: {seeds: 1, name: c}}\n")
    assert not {point.id for point in points_of("toy")} & set(first)


REFUSALS = [
    ("width: [4, 8]", "with: [4, 8]", "'toy' has no parameter 'with'; did you mean 'width'?"),
    ("rate: 0.25", "rat: 0.25", "'toy' has no parameter 'rat'; did you mean 'rate'?"),
    ("width: [4, 8]", "width: [4, 8.5]", "Parameter 'width' takes an int, not 8.5."),
    ("width: [4, 8]", "width: [4, true]", "Parameter 'width' takes an int, not True."),
    ("rate: 0.25", "rate: .inf", "Parameter 'rate' takes a finite float, not inf."),
    ("width: [4, 8]", "width: 4", "grid.width: Input should be a valid list."),
    ("width: [4, 8]", "width: []", "the grid is empty: 'width' has no value."),
    (GRID, "grid: {}", "the grid is empty."),
    (GRID, "list: []", "the list is empty."),
    (GRID, "", NOT_BOTH),
    ("seeds: 2", "seeds: 2\nlist: [{width: 1}]", NOT_BOTH),
    ("[4, 8]", "[4, 8, 4]", "The point width=4 deep=True stands more than once."),
    ("rate: 0.25", "width: 2", "'width' varies from point to point and is set for all points too."),
    ("width: [4, 8]", "seeds: [4, 8]", "'seeds' varies from point to point and is set for all points too."),
    ("rate: 0.25", "seeds: 2", "'seeds' is set twice, as a key of the sweep and in 'base'."),
    ("seeds: 2", "seeds: 0", "seeds: Input should be greater than or equal to 1."),
    ("rate: 0.25", "tier: full", "The parameter 'tier' is set by choosing a tier, not by a value."),
    ("notebook: toy", "notebook: toi", "There is no notebook 'toi'; did you mean 'toy'?"),
    ("tier: quick", "tier: quik", "There is no tier 'quik'; did you mean 'quick'?"),
    ("tier: quick", "tier: paper", "notebooks/tiers.yml has no entry for tier 'paper' of 'toy'."),
    ("grid:", "grit:", "there is no key 'grit'; did you mean 'grid'?"),
    ("says: Which rate?", "", "says: Field required."),
    (GRID, "list: [{width: 4}, {with: 4}]", "'toy' has no parameter 'with'; did you mean 'width'?"),
    (GRID, "list: [{width: 4}, {width: four}]", "Parameter 'width' takes an int, not 'four'."),
    (GRID, "list: [{width: 4}, {width: 4}]", "The point width=4 stands more than once."),
    (GOOD, "- width", "it must map the keys of a sweep to values."),
    ("seeds: 2", "seeds: 2\nshows: [A-3]", "The ledger of 'toy' has no claim 'A-3'; did you mean 'A-2'?"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "says"), REFUSALS)
def test_what_is_wrong_is_refused_in_one_sentence_before_anything_runs(toy, capsys, monkeypatch, old, new, says):
    monkeypatch.setattr(runner, "_execute", lambda *_: pytest.fail("executed"))
    assert old in GOOD
    toy.write("notebooks/sweeps/toy.yml", GOOD.replace(old, new))
    sentence = f"notebooks/sweeps/toy.yml: {says}"
    for words in (["sweep", "toy"], ["sweep", "toy", "--table"], ["point", "toy", "0" * 16]):
        assert main(words) == 2
        assert capsys.readouterr().err == f"{sentence}\n"
    assert sentence in check(toy.root)
    assert not (toy.root / "_build").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["sweep", "tory"], "There is no sweep 'tory'; did you mean 'toy'?"),
        (["point", "toy", "f" * 16], "has no point ffffffffffffffff: its file, the notebook or a kernel has changed"),
        (["sweep", "toy", "--table"], "No point of the sweep 'toy' has been run yet."),
    ],
)
def test_other_wrong_words_are_refused_too(toy, capsys, words, says):
    assert main(words) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1


def test_a_file_that_is_no_yaml_is_named(toy):
    toy.write("notebooks/sweeps/toy.yml", "says: [")
    with pytest.raises(ValueError, match=r"notebooks/sweeps/toy\.yml is not YAML"):
        points_of("toy")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (GRID, "grid: {width: [4], width: [8]}", "'width' stands twice in line 7 and below"),
        (GRID, "list:\n- {width: 4,\n   width: 8}", "'width' stands twice in line 8 and below"),
        ("seeds: 2", "seeds: 2\nseeds: 3", "'seeds' stands twice in line 2 and below"),
    ],
)
def test_a_key_that_stands_twice_is_refused_since_one_would_be_lost(toy, capsys, old, new, says):
    toy.write("notebooks/sweeps/toy.yml", GOOD.replace(old, new))
    assert main(["sweep", "toy"]) == 2
    assert capsys.readouterr().err == f"notebooks/sweeps/toy.yml is not YAML: {says}.\n"


def test_a_parameter_must_not_take_the_name_of_a_column(toy):
    toy.notebook("notebooks/toy.ipynb", parameters=PARAMETERS.replace("width", "value"))
    toy.write("notebooks/sweeps/toy.yml", GOOD.replace("width", "value"))
    with pytest.raises(ValueError, match="'value' of 'toy' has the name of a column of the table"):
        points_of("toy")


def test_the_reserved_names_are_those_of_the_columns(toy):
    assert set(schema_of("toy").names) - set(notebooks.parameters(notebooks.find("toy"))) == set(sweep_file.RESERVED)


def test_the_list_of_sweeps_tells_their_size(toy, capsys):
    assert main(["sweep"]) == 0
    assert capsys.readouterr().out.split(": ") == [
        "toy                      4 points of toy, tier quick",
        "Which rate?\n",
    ]
