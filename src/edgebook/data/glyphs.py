"""Letters and digits drawn from the fonts that Matplotlib ships, bent at random.

Each character of each font is drawn once at 64 x 64 pixels. An image is such a drawing under a random affine map,
brought to the wanted size, with noise. The fonts of the test images belong to typefaces that give no training image.
"""

from __future__ import annotations

import string
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch.nn import functional as F

CHARACTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase
# Name of the set -> the characters that are its classes.
ALPHABETS: dict[str, str] = {
    "glyphs": CHARACTERS,
    "glyphs-10": string.digits,
    "glyphs-26": string.ascii_uppercase,
}
TRAIN_FONTS = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *("cmr10", "cmb10", "cmti10"),  # Computer Modern with serifs
)
TEST_FONTS = (
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *("cmss10", "cmtt10"),  # Computer Modern without serifs, and as a typewriter
)
CANVAS = 64  # pixels, side of a drawing
EM = 52  # pixels, size of the type on the canvas
BASELINE = 48  # pixels from the top: common to all characters, so that c and C differ in size


@lru_cache(maxsize=len(TRAIN_FONTS) + len(TEST_FONTS))
def drawings(font: str) -> np.ndarray:
    """Return every character of one font, uint8 (62, 64, 64), in the order of ``CHARACTERS``, read-only."""
    spec = find_spec("matplotlib")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("The glyphs are drawn from the fonts of the package matplotlib, not installed here.")
    path = Path(spec.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf" / f"{font}.ttf"
    # The basic layout engine needs no extra library, so every installation draws the same pixels.
    face = ImageFont.truetype(str(path), EM, layout_engine=ImageFont.Layout.BASIC)
    pages = np.empty((len(CHARACTERS), CANVAS, CANVAS), dtype=np.uint8)
    for page, character in zip(pages, CHARACTERS, strict=True):
        image = Image.new("L", (CANVAS, CANVAS))
        ImageDraw.Draw(image).text((CANVAS // 2, BASELINE), character, fill=255, font=face, anchor="ms")
        page[:] = np.asarray(image)
    pages.flags.writeable = False
    return pages


def random_maps(count: int, rng: np.random.Generator) -> np.ndarray:
    """Return random affine maps from output to input coordinates, float32 (count, 2, 3).

    Turned by up to 12 degrees, scaled by 0.87 to 1.15, sheared by up to 0.2, moved by up to 0.08 of the width.
    """
    angle = np.deg2rad(rng.uniform(-12, 12, count))
    scale = np.exp(rng.uniform(-0.14, 0.14, count))
    shear = rng.uniform(-0.2, 0.2, count)
    cosine, sine = np.cos(angle) / scale, np.sin(angle) / scale
    maps = np.empty((count, 2, 3), dtype=np.float32)  # rotation after shear, and the shift in the last column
    maps[:, 0, 0], maps[:, 0, 1] = cosine, shear * cosine - sine
    maps[:, 1, 0], maps[:, 1, 1] = sine, shear * sine + cosine
    maps[:, :, 2] = rng.uniform(-0.16, 0.16, (count, 2))  # the canvas spans -1 to 1
    return maps


def warp(pages: np.ndarray, maps: np.ndarray, size: int) -> torch.Tensor:
    """Apply a map (N, 2, 3) to each drawing, uint8 (N, 64, 64): float32 (N, 1, size, size) in [0, 1]."""
    images = torch.from_numpy(pages).unsqueeze(1).float() / 255  # (N, 1, 64, 64)
    # Sampled at twice the size and averaged: plain sampling would skip thin strokes.
    grid = F.affine_grid(torch.from_numpy(maps), [len(pages), 1, 2 * size, 2 * size], align_corners=False)
    return F.avg_pool2d(F.grid_sample(images, grid, align_corners=False), 2)


def make_glyphs(
    alphabet: str, size: int, count: int, *, test: bool, rng: np.random.Generator, noise: float = 0.15
) -> tuple[np.ndarray, np.ndarray]:
    """Draw images of the characters of an alphabet, equally many of each (differing by at most one), shuffled.

    Images are float32 (count, 1, size, size) in [0, 1], ink bright; labels int64 (count,), positions in ``alphabet``.
    Each image draws its own standard deviation of Gaussian noise between 0 and ``noise``.
    """
    fonts = TEST_FONTS if test else TRAIN_FONTS
    y = rng.permutation(np.arange(count, dtype=np.int64) % len(alphabet))
    font = rng.integers(0, len(fonts), count)
    page = np.array([CHARACTERS.index(character) for character in alphabet])[y]
    maps, strength = random_maps(count, rng), rng.uniform(0, noise, (count, 1, 1, 1)).astype(np.float32)
    masters = np.stack([drawings(name) for name in fonts])  # (fonts, 62, 64, 64)
    x = np.empty((count, 1, size, size), dtype=np.float32)
    for start in range(0, count, 1000):  # in pieces, to keep memory small
        piece = slice(start, start + 1000)
        x[piece] = warp(masters[font[piece], page[piece]], maps[piece], size).numpy()
    x += strength * rng.standard_normal(x.shape, dtype=np.float32)
    return x.clip(0, 1), y
