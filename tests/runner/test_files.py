"""Files are written whole or not at all, and refused in one sentence."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from edgebook.notebooks.files import parse_python, read_model, read_yaml, require, write_whole


class Animal(BaseModel):
    model_config = ConfigDict(extra="forbid")

    legs: int
    parent: Animal | None = None


def test_a_text_or_what_a_function_writes_lands_in_its_place_alone(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file.txt"
    assert write_whole(target, "one") == target
    assert target.read_text() == "one"
    write_whole(target, lambda part: part.write_bytes(b"two"))
    assert target.read_text() == "two"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("when", ["while it is written", "when it is put in its place"])
def test_a_write_that_is_broken_off_leaves_the_earlier_file(tmp_path: Path, monkeypatch, when: str) -> None:
    target = write_whole(tmp_path / "file.txt", "earlier")

    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    if when == "when it is put in its place":
        monkeypatch.setattr("os.replace", broken)
    with pytest.raises(KeyboardInterrupt):
        write_whole(target, broken if when == "while it is written" else "later")
    assert target.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.yml", "legs: 4\nlegs: 3", "a is not YAML: 'legs' stands twice in line 1 and below."),
        ("a.yml", "legs: [", "a is not YAML: while parsing a flow node"),
        ("a.yml", "leg: 4\nlegs: 4", "a is no valid beast: there is no key 'leg'; did you mean 'legs'?"),
        ("a.yml", "- 4", "a is no valid beast: it must map the keys of an animal to values."),
        ("a.json", '{"legs": 4, "parent": {"legs": "x"}}', "a is no valid beast: parent.legs: Input should be a valid"),
        ("a.json", '{"legs": ', "a is no valid beast: Invalid JSON"),
    ],
)
def test_the_first_problem_is_one_sentence_with_file_and_field(tmp_path: Path, name: str, text: str, says: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError) as refusal:
        read_model(tmp_path / name, Animal, "a", "beast")
    assert str(refusal.value).startswith(says)
    assert "\n" not in str(refusal.value)


def test_what_fits_is_read(tmp_path: Path) -> None:
    file = write_whole(tmp_path / "a.yml", "legs: 4\nparent: {legs: 3}")
    assert read_model(file, Animal, "a") == Animal(legs=4, parent=Animal(legs=3))
    assert read_yaml(file, "a") == {"legs": 4, "parent": {"legs": 3}}
    require("animal", "dog", ["dog", "cat"])
    with pytest.raises(ValueError, match="There is no animal 'dg'; did you mean 'dog'"):
        require("animal", "dg", ["dog", "cat"])


def test_python_is_parsed_again_where_the_parser_stumbled_and_no_third_time(monkeypatch: pytest.MonkeyPatch) -> None:
    known, stumbles = ast.parse, [SystemError("AST constructor recursion depth mismatch")]

    def stumbling(*given: str) -> ast.Module:
        if stumbles:
            raise stumbles.pop()
        return known(*given)

    monkeypatch.setattr(ast, "parse", stumbling)
    assert ast.unparse(parse_python("x = 1")) == "x = 1"
    stumbles += [SystemError("once"), SystemError("twice")]
    with pytest.raises(SystemError):
        parse_python("x = 1")
    with pytest.raises(SyntaxError):
        parse_python("x =")
