"""Images in parts: compared with what is loaded, with their own statistics, and with each other."""

from __future__ import annotations

import pytest
import torch

from edgebook.data import load_images, split

ASKED = {"size": 16, "train": 70, "test": 62, "seed": 3}


def rows(x: torch.Tensor) -> set[bytes]:
    return {image.contiguous().numpy().tobytes() for image in x}


@pytest.mark.parametrize("name", ["photos", "glyphs"])
def test_parts_are_those_of_the_loader_and_share_no_image(name: str) -> None:
    found = split(name, validation=20, standard=False, **ASKED)
    loaded = load_images(name, size=16, train=90, test=62, seed=3)
    assert (len(found.train.x), len(found.validation.x), len(found.test.x)) == (70, 20, 62)
    assert rows(found.train.x) | rows(found.validation.x) == rows(loaded.train_x)
    assert rows(found.train.x).isdisjoint(rows(found.validation.x))
    assert torch.equal(found.test.x, loaded.test_x)
    label = {image.contiguous().numpy().tobytes(): y for image, y in zip(loaded.train_x, loaded.train_y, strict=True)}
    for part in (found.train, found.validation):
        assert [label[image.contiguous().numpy().tobytes()] for image in part.x] == part.y.tolist()
    assert found.classes == len(loaded.classes)
    assert found.channels == loaded.train_x.shape[1]


def test_the_seed_decides_what_validates_and_without_it_the_order_stays() -> None:
    one, other, again = (split("photos", validation=20, **{**ASKED, "seed": seed}) for seed in (3, 4, 3))
    assert torch.equal(one.validation.x, again.validation.x)
    assert not torch.equal(one.validation.y, other.validation.y)
    plain = split("photos", standard=False, **ASKED)
    assert torch.equal(plain.train.x, load_images("photos", **ASKED).train_x)
    assert len(plain.validation.x) == 0


def test_only_training_images_decide_the_scale() -> None:
    found = split("photos", validation=20, **ASKED)
    raw = split("photos", validation=20, standard=False, **ASKED)
    values = found.train.x.double()
    assert float(values.mean()) == pytest.approx(0, abs=1e-6)
    assert float(values.std()) == pytest.approx(1, abs=1e-6)
    assert found.mean == pytest.approx(float(raw.train.x.double().mean()), abs=1e-6)
    for part, unscaled in zip((found.validation, found.test), (raw.validation, raw.test), strict=True):
        torch.testing.assert_close(part.x * found.std + found.mean, unscaled.x, rtol=0, atol=1e-5)


def test_pixels_lie_between_0_and_1_and_undo_the_standardisation_of_crops() -> None:
    pixels, raw = (split("photos", pixels=flag, standard=False, **ASKED) for flag in (True, False))
    assert pixels.test.x.min() >= 0 and pixels.test.x.max() <= 1
    inside = (raw.test.x > -2.5) & (raw.test.x < 2.5)
    torch.testing.assert_close(pixels.test.x[inside], raw.test.x[inside] / 5 + 0.5)
    assert torch.equal(split("glyphs", pixels=True, standard=False, **ASKED).test.x,
                       split("glyphs", standard=False, **ASKED).test.x)  # fmt: skip


@pytest.mark.parametrize("last", [True, False])
def test_the_layout_is_as_asked(last: bool) -> None:
    x = split("photos", channels_last=last, **ASKED).train.x
    assert x.is_contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
