"""Parameters cells and the values they take, against Python itself and papermill's own reader."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import papermill
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebook.notebooks.cell import Parameter, coerce, parameters, parse

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted([*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("book/*.ipynb")])
KINDS = {"int": int, "float": float, "str": str, "bool": bool}
LITERALS = {
    "int": st.integers(-(10**9), 10**9),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "str": st.text(st.characters(codec="ascii", exclude_characters="=", categories=("L", "N", "Zs")), max_size=9),
    "bool": st.booleans(),
}
DECLARATIONS = st.sampled_from(sorted(KINDS)).flatmap(lambda kind: st.tuples(st.just(kind), LITERALS[kind]))


@given(st.lists(DECLARATIONS, min_size=1, max_size=5))
def test_a_cell_reads_as_python_executes_it(tmp_path_factory, declared):
    lines = [f"p{n}: {kind} = {value!r}  # help {n}" for n, (kind, value) in enumerate(declared)]
    found = parameters(_notebook(tmp_path_factory.mktemp("cell"), "\n".join(lines)))
    namespace: dict[str, object] = {}
    exec("\n".join(lines), namespace)
    assert list(found) == [f"p{n}" for n in range(len(declared))]
    for n, (kind, _) in enumerate(declared):
        assert found[f"p{n}"] == (f"p{n}", KINDS[kind], namespace[f"p{n}"], f"help {n}")


def test_papermill_reads_the_same_cell_alike(checkout):
    cell = 'tier: str = "book"  # the tier\nseeds: int = -3  # how many\nrate: float = 0.5\nquick: bool = True\n'
    assert_read_alike(checkout.notebook("notebooks/a.ipynb", parameters=cell))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_papermill_reads_every_notebook_alike(path):
    assert_read_alike(path)


def assert_read_alike(path):
    theirs = papermill.inspect_notebook(str(path))
    ours = parameters(path)
    assert list(ours) == list(theirs)
    for name, parameter in ours.items():
        assert parameter.type.__name__ == theirs[name]["inferred_type_name"]
        assert ast.literal_eval(theirs[name]["default"]) == parameter.default
        assert parameter.help == theirs[name]["help"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("x = 3", "is not"),
        ("x: int", "is not"),
        ("x: int | None = 3", "is not"),
        ("x: list = 3", "has type list"),
        ("x: int = 2 * 3", "not a literal"),
        ("x: int = y", "not a literal"),
        ("x: float = 3", "not of type float"),
        ("x: int = True", "not of type int"),
        ("x: int = -True", "not a literal"),
        ("x: str = None", "not of type str"),
        ('x: str = "a=b"', "equals sign"),
        ("import os", "is not"),
        ("%matplotlib inline", "is not"),
        ("x: int = 1; x: int = 2", "declared twice"),
    ],
)
def test_what_is_not_a_plain_declaration_is_refused_by_its_line(tmp_path, line, says):
    with pytest.raises(ValueError, match=says) as refusal:
        parameters(_notebook(tmp_path, f'tier: str = "book"\n{line}\n'))
    assert f"'{line}'" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_exactly_one_cell_must_be_tagged(checkout):
    path = checkout.notebook("notebooks/a.ipynb")
    path.write_text(path.read_text().replace('"parameters"', '"other"'))
    with pytest.raises(ValueError, match="0 cells tagged"):
        parameters(path)


@given(st.sampled_from(sorted(KINDS)), DECLARATIONS)
def test_only_the_type_itself_and_an_int_for_a_float_are_taken(kind, given_value):
    parameter = Parameter("p", KINDS[kind], KINDS[kind](), "")
    given_kind, value = given_value
    if given_kind == kind or (kind, given_kind) == ("float", "int"):
        taken = coerce(parameter, value)
        assert type(taken) is KINDS[kind]
        assert taken == value
    else:
        with pytest.raises(ValueError, match="Parameter 'p' takes"):
            coerce(parameter, value)


@pytest.mark.parametrize("value", [math.nan, math.inf, None, [1], (1,), {}])
@pytest.mark.parametrize("kind", KINDS.values())
def test_no_parameter_takes_these(kind, value):
    with pytest.raises(ValueError, match="Parameter 'p' takes"):
        coerce(Parameter("p", kind, kind(), ""), value)


@given(DECLARATIONS)
def test_text_of_a_value_is_parsed_back(declared):
    kind, value = declared
    text = str(value).lower() if kind == "bool" else str(value)
    assert parse(Parameter("p", KINDS[kind], KINDS[kind](), ""), text) == value


@pytest.mark.parametrize(("kind", "text"), [(int, "0.5"), (int, "x"), (float, "nan"), (bool, "1"), (bool, "yes")])
def test_text_of_another_type_is_refused(kind, text):
    with pytest.raises(ValueError, match=f"Parameter 'p' takes .* not '{text}'"):
        parse(Parameter("p", kind, kind(), ""), text)


def _notebook(folder, cell):
    import json

    path = folder / "a.ipynb"
    cells = [{"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": cell.splitlines(True)}]
    path.write_text(json.dumps({"cells": cells}))
    return path
