"""Shards: what is read of tar archives, and one clear line for what cannot be."""

import io
import pickle
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from raynas.data.image_sets import load_images
from raynas.data.images import ImageData
from raynas.data.streaming import Streaming
from raynas.errors import DataError
from tests.data.files import photos, splits_of


def picture(red: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (6, 6), (red, 9, 9)).save(file, "PNG")
    return file.getvalue()


def shard(path: Path, members: Mapping[str, bytes], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def samples(first: int, n: int = 6) -> dict[str, bytes]:
    """Return images whose red is their number, of two classes; with members that are no part of an image data set."""
    members: dict[str, bytes] = {}
    for i in range(first, first + n):
        members |= {f"a/{i:04}.cls": b"%d\n" % (i % 2), f"a/{i:04}.json": b"{}", f"a/{i:04}.png": picture(i)}
    return members


def read(root: Path, above_gb: float = 0) -> ImageData:
    return load_images(f"shards:{root}", image_size=4, streaming=Streaming(above_gb=above_gb, n_workers=0))


def pairs(data: ImageData) -> list[list[tuple[int, int]]]:
    return [sorted(zip(s.array[:, 0, 0, 0].tolist(), s.labels.tolist(), strict=True)) for s in splits_of(data)]


@pytest.mark.parametrize("above_gb", [0, 1])
def test_archives_of_splits(above_gb: float, tmp_path: Path) -> None:
    shard(tmp_path / "cats-train-0000.tar", samples(0))
    shard(tmp_path / "cats-train-0001.tar", samples(6))
    shard(tmp_path / "val" / "0000.tar", samples(100))
    shard(tmp_path / "test.tar", samples(200, 2))
    data = read(tmp_path, above_gb)
    train, valid, test = pairs(data)
    assert train == [(i, i % 2) for i in range(12)] and data.n_classes == 2 and data.input_shape == (3, 4, 4)
    assert valid == [(i, i % 2) for i in range(100, 106)] and test == [(200, 0), (201, 1)]


def test_archives_without_names_of_splits_and_a_single_one(tmp_path: Path) -> None:
    for name in ("a.tar", "b.tar"):
        shard(tmp_path / name, samples(0 if name == "a.tar" else 20, 20))
    assert sorted(pair for part in pairs(read(tmp_path)) for pair in part) == [(i, i % 2) for i in range(40)]
    assert sum(map(len, pairs(read(tmp_path / "a.tar")))) == 20


def test_images_are_those_of_a_folder(tmp_path: Path) -> None:
    root = photos(tmp_path)
    members: dict[str, bytes] = {}
    for file in sorted(root.rglob("*.png"), key=lambda file: (file.parent.name, file.name)):
        members |= {file.name: file.read_bytes(), f"{file.stem}.cls": str("abc".index(file.parent.name)).encode()}
    how = {"image_size": 8, "streaming": Streaming(above_gb=0, n_workers=1, cache_dir=tmp_path / "cache")}
    kinds = (f"folder:{root}", f"shards:{shard(tmp_path / 'all.tar', members)}")
    one, other = (load_images(name, **how) for name in kinds)  # type: ignore[arg-type]
    assert (one.mean, one.std) == (other.mean, other.std)
    for _ in range(2):
        epochs = [
            data.batches(batch_size=4, augment="auto", device=torch.device("cpu")).train(1) for data in (one, other)
        ]
        assert all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(*epochs, strict=True))


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("evil"),))


def test_nothing_is_run_extracted_or_read_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    members = samples(0)
    for i, suffix in enumerate(("pyd", "pickle", "pth", "npy")):
        members[f"a/{i:04}.{suffix}"] = pickle.dumps(Evil())
    members["../../outside.cls"], members["../../outside.png"] = b"1", picture(7)
    path = shard(tmp_path / "in" / "all.tar", dict(sorted(members.items())))
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("z.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert sum(map(len, pairs(read(path)))) == 7
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["all.tar", "in"]


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


WRONG: dict[str, tuple[dict[str, bytes], str]] = {
    "empty": ({}, "holds no samples"),
    "no images": ({"a.txt": b"1"}, "holds no samples"),
    "no label": ({"0.png": picture(1)}, "sample '0' in .* has an image but no label"),
    "label apart": ({"0.png": picture(1), "1.png": picture(1), "0.cls": b"0"}, "has an image but no label"),
    "no image": ({"0.cls": b"1"}, "sample '0' in .* has a label but no image"),
    "two images": ({"0.png": picture(1), "0.jpg": picture(1), "0.cls": b"1"}, "has two images"),
    "a word": ({"0.png": picture(1), "0.cls": b"cat"}, "must be a class from 0 in digits, got b'cat'"),
    "negative": ({"0.png": picture(1), "0.cls": b"-1"}, "must be a class from 0 in digits"),
    "long": ({"0.png": picture(1), "0.cls": b"1" * 99}, "in digits, got 99 bytes"),
    "gap": ({"0.png": picture(1), "0.cls": b"0", "1.png": picture(1), "1.cls": b"2"}, "no training image has label 1"),
    "no image data": (
        {"0.png": b"abc", "0.cls": b"0"},
        r"image '0\.png' in .*\.tar cannot be read: Pillow knows no such",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_shard_gets_one_clear_line(name: str, tmp_path: Path) -> None:
    members, expected = WRONG[name]
    with pytest.raises(DataError, match=expected):
        read(shard(tmp_path / "0.tar", members))
    refusal(tmp_path / "0.tar")


def test_archives_that_cannot_be_read(tmp_path: Path) -> None:
    assert "is no file or folder of this machine" in refusal(tmp_path / "missing")
    (tmp_path / "none").mkdir()
    assert "holds no file that ends in .tar" in refusal(tmp_path / "none")
    path = shard(tmp_path / "packed.tar", samples(0), "w:gz")
    assert "it must be a whole tar archive that is not compressed" in refusal(path)
    path = shard(tmp_path / "cut.tar", samples(0))
    path.write_bytes(path.read_bytes()[:3000])
    assert "cut.tar" in refusal(path)


@pytest.mark.parametrize("where", ["between samples", "in a header", "between image and label", "by a damaged header"])
def test_archives_that_tarfile_takes_for_shorter_ones(where: str, tmp_path: Path) -> None:
    path = shard(tmp_path / "cut.tar", samples(0))
    whole = path.read_bytes()
    with tarfile.open(path) as archive:
        start, label = archive.getmember("a/0003.cls").offset, archive.getmember("a/0003.png").offset
    end = {"between samples": start, "in a header": start + 100, "between image and label": label}.get(where)
    path.write_bytes(whole[:end] if end else whole[:start] + b"x" * 512 + whole[start + 512 :])
    at = end - end % 512 if end else start
    assert f"cut.tar is cut off or damaged at byte {at} of" in refusal(path)


def test_names_of_splits_that_are_ambiguous(tmp_path: Path) -> None:
    shard(tmp_path / "one" / "train.tar", samples(0))
    shard(tmp_path / "one" / "other.tar", samples(0))
    assert "other.tar is not named after a split" in refusal(tmp_path / "one")
    shard(tmp_path / "two" / "train" / "val-1.tar", samples(0))
    assert "is named after the splits train and valid" in refusal(tmp_path / "two")
    shard(tmp_path / "three" / "val.tar", samples(0))
    assert "has archives of valid, but none of train" in refusal(tmp_path / "three")


def test_a_label_beyond_those_of_training(tmp_path: Path) -> None:
    shard(tmp_path / "train.tar", samples(0))
    shard(tmp_path / "test.tar", {"0.png": picture(0), "0.cls": b"5"})
    assert "test holds label 5, but there are 2 classes (0 to 1)" in refusal(tmp_path)
    assert np.array_equal([0, 1], np.unique(load_images(f"shards:{tmp_path / 'train.tar'}").train.labels))
