"""The papers' own sets, read from tiny files in the published formats; and torchvision's import."""

from __future__ import annotations

import hashlib
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edgebook.data import import_torchvision, load_images
from edgebook.data.real import data_root


def _pickle(path: Path, content: dict) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    kind = import_torchvision().datasets.CIFAR10
    folder, pixels, labels, lists = tmp_path / "cifar-10-batches-py", {}, {}, {}
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        pixels[name] = rng.integers(0, 256, (10, 3072), dtype=np.uint8)
        labels[name] = rng.permutation(10).tolist()
        lists[name] = _pickle(folder / name, {"data": pixels[name], "labels": labels[name]})
    names = ["plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    meta = _pickle(folder / "batches.meta", {"label_names": names})
    monkeypatch.setattr(kind, "train_list", [[n, md5] for n, md5 in lists.items() if n != "test_batch"])
    monkeypatch.setattr(kind, "test_list", [["test_batch", lists["test_batch"]]])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": meta})
    images = load_images("cifar10", root=tmp_path)
    assert images.train_x.shape == (50, 3, 32, 32)
    assert images.classes == tuple(names)
    expected = np.concatenate([pixels[f"data_batch_{i}"] for i in range(1, 6)]).reshape(50, 3, 32, 32) / 255
    np.testing.assert_allclose(images.train_x.numpy(), expected, atol=1e-6)
    assert images.test_y.tolist() == labels["test_batch"]
    part = load_images("cifar10", root=tmp_path, train=20, test=5, size=16, seed=1)
    assert part.train_x.shape == (20, 3, 16, 16)
    with pytest.raises(ValueError, match="cifar10 has 50 training images, not 51"):
        load_images("cifar10", root=tmp_path, train=51)
    (folder / "data_batch_3").write_bytes(b"cut short")
    with pytest.raises(FileNotFoundError, match="cifar10 is not complete"):
        load_images("cifar10", root=tmp_path)


def _idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())


@pytest.mark.parametrize(
    ("name", "folder", "stem"),
    [("fashion-mnist", "FashionMNIST/raw", "{}"), ("emnist", "EMNIST/raw", "emnist-balanced-{}")],
)
def test_idx_files(tmp_path: Path, rng: np.random.Generator, name: str, folder: str, stem: str) -> None:
    pixels = {half: rng.integers(0, 256, (n, 28, 28), dtype=np.uint8) for half, n in (("train", 12), ("test", 7))}
    labels = {half: rng.integers(0, 10, len(x), dtype=np.uint8) for half, x in pixels.items()}
    for half, prefix in (("train", "train"), ("test", "t10k" if name == "fashion-mnist" else "test")):
        _idx(tmp_path / folder / f"{stem.format(prefix)}-images-idx3-ubyte", pixels[half])
        _idx(tmp_path / folder / f"{stem.format(prefix)}-labels-idx1-ubyte", labels[half])
    images = load_images(name, root=tmp_path)
    upright = pixels["train"].transpose(0, 2, 1) if name == "emnist" else pixels["train"]
    np.testing.assert_allclose(images.train_x[:, 0].numpy(), upright / 255, atol=1e-6)
    assert images.train_y.tolist() == labels["train"].tolist()
    assert images.test_x.shape == (7, 1, 28, 28)


def _picture(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (64, 64)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


COLOURS = {"n01": (255, 0, 0), "n02": (0, 255, 0), "n03": (0, 0, 255)}


def test_tiny_imagenet_reads_its_list_of_labels(tmp_path: Path) -> None:
    folder = tmp_path / "tiny-imagenet-200"
    for name, colour in COLOURS.items():
        for i in range(2):
            _picture(folder / "train" / name / "images" / f"{name}_{i}.png", colour)
    notes = []
    for i, name in enumerate(["n03", "n01", "n03"]):
        _picture(folder / "val/images" / f"val_{i}.png", COLOURS[name])
        notes.append(f"val_{i}.png\t{name}\t0\t0\t62\t62\n")
    (folder / "val/val_annotations.txt").write_text("".join(notes))
    images = load_images("tiny-imagenet", root=tmp_path, size=32)
    assert images.classes == ("n01", "n02", "n03")
    assert images.test_y.tolist() == [2, 0, 2]
    assert images.train_x.shape == (6, 3, 32, 32)
    for x, y in zip(images.test_x, images.test_y, strict=True):  # the colour is the class
        assert int(x.mean((1, 2)).argmax()) == int(y)


def test_mini_imagenet_is_folders_of_pictures_of_any_shape(tmp_path: Path) -> None:
    folder = tmp_path / "mini-imagenet"
    for name, colour in COLOURS.items():
        _picture(folder / "train" / name / "a.png", colour, (100, 60))
        _picture(folder / "test" / name / "b.png", colour, (50, 90))
    images = load_images("mini-imagenet", root=tmp_path)
    assert images.test_x.shape == (3, 3, 84, 84)
    assert images.test_y.tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "emnist", "fashion-mnist", "tiny-imagenet", "mini-imagenet"])
def test_an_absent_set_says_what_to_do(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEBOOK_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=f"{name} is not complete in .*EDGEBOOK_DATA") as caught:
        load_images(name)
    assert "\n" not in str(caught.value)


def test_the_data_folder_has_a_default_and_two_ways_to_name_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGEBOOK_DATA", raising=False)
    assert data_root() == Path.home() / ".cache" / "edgebook"
    monkeypatch.setenv("EDGEBOOK_DATA", str(tmp_path / "named"))
    assert data_root() == tmp_path / "named"
    assert data_root(tmp_path) == tmp_path


def test_torchvision_imports_and_so_does_what_imports_it_later() -> None:
    code = (
        "from edgebook.data import import_torchvision\n"
        "first = import_torchvision()\n"
        "import torchvision, torchvision.transforms.v2, torchvision.models\n"
        "assert import_torchvision() is first is torchvision\n"
        "import torch\n"
        "model = torchvision.models.resnet18(num_classes=3).eval()\n"
        "print(tuple(model(torch.zeros(1, 3, 32, 32)).shape))\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "(1, 3)", done.stderr


def test_nothing_is_declared_where_the_import_works(monkeypatch: pytest.MonkeyPatch) -> None:
    import_torchvision()
    monkeypatch.setattr(torch.library, "Library", lambda *_: pytest.fail("declared again"))
    import_torchvision()
