"""Sentences from small grammars: does one follow from another, and what does a record say; each in five genres.

Made like MultiNLI and the records of E2E, with words of our own. In MultiNLI the second sentence alone tells much of
the answer; here it is drawn first and independently of the answer, so that alone it tells nothing.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

Part = Literal["train", "test"]
LABELS = ("yes", "no", "maybe")  # it follows, it cannot be, it may be
TESTED = 4  # one in so many pairs of words is for tests alone

# Sixteen things and sixteen places for each genre, and eight of each that genres may share.
_COMMON = (
    "box key lamp rope coin stone bag letter",
    "hall corner cellar garden street tower yard tunnel",
)
_GENRES = (
    ("fox hen cow goat pig duck mule lamb horse cat crow bee plough hay egg bull",
     "barn field stable pond orchard meadow coop sty hedge ditch mill pasture loft silo kennel paddock"),
    ("spoon plate cup knife pan bowl jug fork kettle whisk tray jar sieve grater bottle spice",
     "drawer sink oven pantry fridge cupboard basket shelf rack freezer larder bin counter crate stove hamper"),
    ("ship anchor net sail crab buoy oar mast gull whale raft hook chart flag barrel seal",
     "harbour bay dock cabin lagoon hold reef strait port cove wharf channel marina delta fjord shipyard"),
    ("pen folder stamp laptop badge chair clip memo printer mug ruler phone binder stapler poster cable",
     "office lobby archive lift canteen studio vault lounge suite cubicle foyer annex garage entry bureau atrium"),
    ("drum flute harp crown mask sword robe puppet violin wig fan ring cape lantern scroll throne",
     "theatre stage palace chapel balcony cloister museum temple castle gallery arena crypt parlour loge court dome"),
)  # fmt: skip
GENRES = len(_GENRES)
_PLACED = ("the {0} is in the {1}", "in the {1} is the {0}")

# How a genre says that a place to visit has goods, the names of its places, and its goods.
_VISITED = (
    ("serves", "mill swan anchor olive lantern harvest ember clover", "thai french indian greek"),
    ("shows", "atlas beacon column prism mosaic relic obelisk fresco", "roman modern nordic baroque"),
    ("sells", "button thimble acorn parcel ribbon lighthouse marble cobweb", "woollen leather wooden silver"),
    ("offers", "palm juniper sierra orchid comet meridian saffron glacier", "single double family twin"),
    ("teaches", "compass quill abacus ladder beehive oak lyceum falcon", "dance chess pottery judo"),
)
_SHARED_SLOTS = {
    "area": "north south centre riverside",
    "price": "cheap moderate costly",
    "rating": "poor fair good great",
}


def _words_of(genre: int, shared: int) -> tuple[list[str], list[str]]:
    """Return the sixteen things and sixteen places of a genre, of which so many are the same in all genres."""
    own = _GENRES[_within("genre", genre, 0, GENRES - 1)]
    common = _within("shared", shared, 0, 8)
    things, places = (
        [*both.split()[:common], *mine.split()[: 16 - common]] for both, mine in zip(_COMMON, own, strict=True)
    )
    return things, places


def entailment(
    genre: int, count: int, *, seed: int, part: Part = "train", facts: int = 1, shared: int = 8
) -> list[tuple[str, str]]:
    """Draw premises with a hypothesis each, and whether it follows.

    Something is in one place at a time, so that a hypothesis about where it is follows from a fact, is denied by it,
    or is left open where no fact speaks of the thing. The hypothesis is drawn first, and in tests from pairs of a thing
    and a place that no training hypothesis has: no text stands in both parts.

    Parameters
    ----------
    genre, count, seed : int
        0 to 4; texts; what decides them.
    part : {"train", "test"}
    facts : int
        Facts in a premise, of different things, at most 8.
    shared : int
        So many things and places are the same in all genres, at most 8 of 16 each.

    Returns
    -------
    list of (str, str)
        Texts and answers, "yes", "no" or "maybe", each answer as often as the others, up to one.

    Raises
    ------
    ValueError
        A number out of range, or an unknown part.

    Examples
    --------
    >>> entailment(0, 1, seed=3, shared=0)
    [('the plough is in the field . so the plough is in the field ?', 'yes')]
    """
    things, places = _words_of(genre, shared)
    facts, rng = _within("facts", facts, 1, 8), _rng(seed, genre, part)
    texts = []
    for number in range(_within("count", count, 1)):
        label = LABELS[number % len(LABELS)]
        thing, place = _pair(rng, len(things), len(places), part)
        others = [int(k) for k in rng.permutation(len(things)) if k != thing]
        told = [(other, int(rng.integers(len(places)))) for other in others[:facts]]
        if label != "maybe":
            elsewhere = (place + int(rng.integers(1, len(places)))) % len(places)
            told[int(rng.integers(facts))] = (thing, place if label == "yes" else elsewhere)
        said = [_PLACED[rng.integers(2)].format(things[t], places[p]) for t, p in [*told, (thing, place)]]
        texts.append((" . ".join(said[:-1]) + f" . so {said[-1]} ?", label))
    return [texts[k] for k in rng.permutation(count)]


def records(genre: int, count: int, *, seed: int, part: Part = "train") -> list[tuple[str, str]]:
    """Draw records of places to visit and the sentences that say the same.

    A record has a name and goods, and each of area, price and rating with probability 2/3, in any order. In tests the
    pairs of a name and goods are such as no training record has.

    Parameters
    ----------
    genre, count, seed : int
        0 to 4: restaurants, museums, shops, hotels, schools; records; what decides them.
    part : {"train", "test"}

    Returns
    -------
    list of (str, str)
        Records and sentences.

    Raises
    ------
    ValueError
        A number out of range, or an unknown part.

    Examples
    --------
    >>> record, sentence = records(0, 1, seed=2)[0]
    >>> record
    'area : south | rating : great | name : ember | goods : french | price : costly'
    >>> sentence
    'the ember in the south serves costly french goods and is great .'
    """
    verb, names, goods = _VISITED[_within("genre", genre, 0, GENRES - 1)]
    names, goods, rng = names.split(), goods.split(), _rng(seed, genre, part)
    found = []
    for _ in range(_within("count", count, 1)):
        name, sold = _pair(rng, len(names), len(goods), part)
        slots = {"name": names[name], "goods": goods[sold]}
        slots |= {slot: str(rng.choice(known.split())) for slot, known in _SHARED_SLOTS.items() if rng.random() < 2 / 3}
        order = rng.permutation(list(slots))
        found.append((" | ".join(f"{slot} : {slots[slot]}" for slot in order), _said(verb, slots)))
    return found


def _said(verb: str, slots: dict[str, str]) -> str:
    """Say a record in one sentence, clause by clause."""
    area = f" in the {slots['area']}" if "area" in slots else ""
    price = f"{slots['price']} " if "price" in slots else ""
    rating = f" and is {slots['rating']}" if "rating" in slots else ""
    return f"the {slots['name']}{area} {verb} {price}{slots['goods']} goods{rating} ."


def _within(name: str, value: int, least: int, most: int = 2**32) -> int:
    if not isinstance(value, int | np.integer) or not least <= value <= most:
        raise ValueError(f"{name} must be a whole number from {least} to {most}, got {value!r}.")
    return int(value)


def _rng(seed: int, genre: int, part: str) -> np.random.Generator:
    if part not in get_args(Part):
        raise ValueError(f"part must be one of {', '.join(get_args(Part))}, got {part!r}.")
    return np.random.default_rng([_within("seed", seed, 0), genre, get_args(Part).index(part)])


def _pair(rng: np.random.Generator, many: int, others: int, part: str) -> tuple[int, int]:
    """Draw two numbers, whose sum is a multiple of `TESTED` in tests alone."""
    while True:
        one, other = int(rng.integers(many)), int(rng.integers(others))
        if ((one + other) % TESTED == 0) == (part == "test"):
            return one, other
