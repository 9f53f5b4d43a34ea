"""The embedded sets: shapes, ranges, repeatability, and what training and test images may not share."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.datasets import load_digits

from edgebook.data import BLOCK, PHOTOS, block_split, load_images, photograph
from edgebook.data.glyphs import CHARACTERS, TEST_FONTS, TRAIN_FONTS, drawings
from edgebook.data.photos import draw_crops

EMBEDDED = {"digits": (1, 10), "photos": (3, 10), "glyphs": (1, 62), "glyphs-10": (1, 10), "glyphs-26": (1, 26)}


def digest(images) -> str:
    hashed = hashlib.sha256()
    for tensor in images[:4]:
        hashed.update(tensor.numpy().tobytes())
    return hashed.hexdigest()


@pytest.mark.parametrize("name", EMBEDDED)
def test_shapes_types_and_balance(name: str) -> None:
    channels, classes = EMBEDDED[name]
    images = load_images(name, train=5 * classes, test=2 * classes, seed=3)
    assert images.train_x.shape[:2] == (5 * classes, channels)
    assert images.test_x.shape[:2] == (2 * classes, channels)
    assert images.train_x.dtype == torch.float32
    assert images.train_y.dtype == torch.int64
    assert len(images.classes) == classes
    counts = torch.bincount(images.train_y, minlength=classes)
    assert counts.min() >= 4
    assert counts.max() <= 6
    if name == "photos":
        torch.testing.assert_close(images.train_x.mean((2, 3)), torch.zeros(5 * classes, 3), atol=1e-4, rtol=0)
        torch.testing.assert_close(
            images.train_x.std((2, 3), correction=0), torch.ones(5 * classes, 3), atol=1e-4, rtol=0
        )
    else:
        assert images.train_x.min() >= 0
        assert images.train_x.max() <= 1


@pytest.mark.parametrize("name", EMBEDDED)
@pytest.mark.parametrize("size", [8, 20])
def test_any_size(name: str, size: int) -> None:
    assert load_images(name, size=size, train=70, test=70).test_x.shape[2:] == (size, size)


@pytest.mark.parametrize("name", ["digits", "photos", "glyphs-10"])
def test_same_arguments_same_bytes_whatever_the_global_state(name: str) -> None:
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 - the global state is what is tested
    random.seed(1)
    before = (torch.rand(1).item(), np.random.rand(), random.random())  # noqa: NPY002
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    first = load_images(name, train=40, test=20, seed=5)
    assert (torch.rand(1).item(), np.random.rand(), random.random()) == before  # noqa: NPY002
    assert digest(first) == digest(load_images(name, train=40, test=20, seed=5))
    assert digest(first) != digest(load_images(name, train=40, test=20, seed=6))


def test_another_process_draws_the_same_bytes() -> None:
    code = (
        "import hashlib; from edgebook.data import load_images\n"
        "h = hashlib.sha256()\n"
        "for n in ('digits', 'photos', 'glyphs'):\n"
        "    for t in load_images(n, train=70, test=65, seed=2)[:4]: h.update(t.numpy().tobytes())\n"
        "print(h.hexdigest())"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PATH": ""}, capture_output=True, text=True
        )
        for seed in ("1", "77")
    ]
    assert runs[0].stdout == runs[1].stdout
    assert len(runs[0].stdout.strip()) == 64, runs[0].stderr


def test_the_number_of_one_half_does_not_change_the_other() -> None:
    few, many = (load_images("photos", train=train, test=30, seed=1) for train in (20, 60))
    assert torch.equal(few.test_x, many.test_x)


@settings(max_examples=12)
@given(st.sampled_from(sorted(PHOTOS)), st.sampled_from([8, 16, 32, 64]), st.integers(0, 2**31))
def test_training_and_test_crops_never_share_a_pixel(name: str, size: int, seed: int) -> None:
    painted = np.zeros((2, *photograph(name).shape[:2]), dtype=bool)
    for test in (False, True):
        corners, _ = draw_crops(name, 60, size, test=test, rng=np.random.default_rng(seed))
        for row, column in corners:
            painted[int(test), row : row + size, column : column + size] = True
    assert painted[0].any()
    assert painted[1].any()
    assert not (painted[0] & painted[1]).any()


def test_crops_are_cut_where_they_say() -> None:
    corners, crops = draw_crops("coffee", 20, 16, test=True, rng=np.random.default_rng(0))
    for (row, column), crop in zip(corners, crops, strict=True):
        raw = photograph("coffee")[row : row + 16, column : column + 16].astype(float).transpose(2, 0, 1)
        expected = (raw - raw.mean((1, 2), keepdims=True)) / raw.std((1, 2), keepdims=True)
        np.testing.assert_allclose(crop, expected, atol=1e-4)


@pytest.mark.parametrize("name", PHOTOS)
def test_about_a_quarter_of_each_photograph_is_for_testing(name: str) -> None:
    split = block_split(name)
    assert split.size >= 20
    assert 0.18 <= split.mean() <= 0.32
    assert split.shape == tuple(side // BLOCK for side in photograph(name).shape[:2])


def test_mean_colour_does_not_give_the_photograph_away() -> None:
    images = load_images("photos", train=200, test=50)
    features = images.train_x.mean((2, 3))
    assert features.abs().max() < 1e-3


def test_training_crops_do_not_turn_up_among_the_test_crops() -> None:
    images = load_images("photos", train=300, test=300)
    nearest = torch.cdist(images.test_x.flatten(1), images.train_x.flatten(1)).min(1).values
    assert nearest.min() > 1.0


def test_digits_are_scikit_learns_split_without_overlap() -> None:
    images = load_images("digits", seed=4)
    given_images = {row.tobytes() for row in (load_digits().images / 16).astype(np.float32)}
    halves = [{row.numpy().tobytes() for row in half[:, 0]} for half in (images.train_x, images.test_x)]
    assert halves[0] | halves[1] <= given_images
    assert len(images.train_x) + len(images.test_x) == 1797
    assert not halves[0] & halves[1]


def test_test_glyphs_come_from_typefaces_never_seen_in_training() -> None:
    assert not set(TRAIN_FONTS) & set(TEST_FONTS)
    seen = {page.tobytes() for font in TRAIN_FONTS for page in drawings(font)}
    assert not seen & {page.tobytes() for font in TEST_FONTS for page in drawings(font)}
    for font in (*TRAIN_FONTS, *TEST_FONTS):
        pages = drawings(font)
        assert pages.shape == (len(CHARACTERS), 64, 64)
        assert len({page.tobytes() for page in pages}) == len(CHARACTERS), font  # no missing glyph drawn as a box
        assert (pages.reshape(len(pages), -1) > 128).sum(1).min() > 20


def test_flat_crops_are_drawn_again() -> None:
    windows = sliding_window_view(photograph("retina"), (16, 16), axis=(0, 1))[::16, ::16]
    assert (windows.std(axis=(3, 4)) < 2).any()  # there are flat places to avoid
    _, crops = draw_crops("retina", 200, 16, test=False, rng=np.random.default_rng(0))
    assert np.isfinite(crops).all()
    np.testing.assert_allclose(crops.std((2, 3)), 1, atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"name": "foto"}, "nearest name is 'photos'"),
        ({"name": "photos", "size": 65}, "size must be 8 to 64"),
        ({"name": "photos", "size": 4}, "size must be a whole number of at least 8"),
        ({"name": "photos", "size": 16.5}, "size must be a whole number"),
        ({"name": "digits", "train": 1700, "test": 360}, "digits holds 1,797"),
        ({"name": "photos", "train": 0}, "train must be a whole number"),
        ({"name": "photos", "test": True}, "test must be a whole number"),
        ({"name": "photos", "seed": -1}, "seed must be a whole number"),
    ],
)
def test_what_a_set_cannot_give_is_one_sentence(arguments: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        load_images(**arguments)
    assert "\n" not in str(caught.value)
