"""Folders of images: what is a split, a class and an image, and one clear line where that is open."""

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raynas.data.image_folders import labelled_files
from raynas.data.image_sets import load_images
from raynas.errors import DataError
from tests.data.files import splits_of


def paint(path: Path, n: int = 2, colour: tuple[int, int, int] = (9, 9, 9), size: tuple[int, int] = (12, 9)) -> None:
    path.mkdir(parents=True)
    for i in range(n):
        Image.new("RGB", size, colour).save(path / f"{i}.png")


def counts(root: Path) -> dict[str, list[int]]:
    """Number of images of each class, by split."""
    return {part: np.bincount([label for _, label in files]).tolist() for part, files in labelled_files(root).items()}


def refusal(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        load_images(f"folder:{root}", image_size=4)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_per_class(tmp_path: Path) -> None:
    paint(tmp_path / "red", 10, (255, 0, 0))
    paint(tmp_path / "blue", 10, (0, 0, 255), size=(20, 30))
    (tmp_path / "notes.txt").write_text("not a class")
    data = load_images(f"folder:{tmp_path}", image_size=8)
    assert data.input_shape == (3, 8, 8) and data.n_classes == 2
    for split in splits_of(data):
        np.testing.assert_array_equal(split.array[:, 0, 0, 0], np.where(split.labels == 1, 255, 0))


def test_each_split_has_its_images_and_labels(tmp_path: Path) -> None:
    for i, (part, n) in enumerate((("train", 5), ("val", 3), ("test", 2))):
        paint(tmp_path / part / "a", n, (i, 9, 9))
        paint(tmp_path / part / "b", n, (i, 200, 9))
    splits = splits_of(load_images(f"folder:{tmp_path}", image_size=8))
    assert [len(split) for split in splits] == [10, 6, 4]
    for i, split in enumerate(splits):
        assert (split.array[..., 0] == i).all()
        np.testing.assert_array_equal(split.array[:, 0, 0, 1], np.where(split.labels == 1, 200, 9))


# --- splits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "valid", "test"),
    [
        ("TRAIN", "VAL", "TEST"),
        ("Training", "Validation", "Testing"),
        ("training_set", "valid", "test-set"),
        ("train images", "dev", "test_data"),
    ],
)
def test_splits_by_other_names(train: str, valid: str, test: str, tmp_path: Path) -> None:
    for n, part in enumerate((train, valid, test), start=1):
        for name in ("ant", "bee", "fly"):
            paint(tmp_path / part / name, n)
    assert counts(tmp_path) == {"train": [1, 1, 1], "valid": [2, 2, 2], "test": [3, 3, 3]}


def test_two_folders_of_the_same_split(tmp_path: Path) -> None:
    for part in ("train", "val", "validation"):
        paint(tmp_path / part / "a")
        paint(tmp_path / part / "b")
    assert "has two valid splits, 'val' and 'validation'; keep one" in refusal(tmp_path)


def test_a_split_beside_classes(tmp_path: Path) -> None:
    for name in ("bus", "car", "Val"):
        paint(tmp_path / name)
    assert "has 'Val', named like a split, beside 'bus', 'car'" in refusal(tmp_path)


def test_a_folder_beside_the_splits(tmp_path: Path) -> None:
    for name in ("train/a", "train/b", "holdout/a"):
        paint(tmp_path / name)
    (tmp_path / "models").mkdir()  # holds no images
    assert "has 'train', named like a split, beside 'holdout'" in refusal(tmp_path)


def test_splits_without_train(tmp_path: Path) -> None:
    for name in ("val/a", "val/b", "test/a", "test/b"):
        paint(tmp_path / name)
    assert "has 'test', 'val', but no train split" in refusal(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ("seg_train", "seg_test", "seg_pred"),
        ("train2017", "val2017"),
        ("trn", "tst"),
        ("data.train/a", "data.train/b", "data.other/a", "data.other/b"),
    ],
)
def test_names_that_look_like_splits(names: tuple[str, ...], tmp_path: Path) -> None:
    for name in names:
        paint(tmp_path / name)
    assert "named like splits: name splits train, valid and test, or rename" in refusal(tmp_path)


def test_classes_whose_names_only_hold_the_word_of_a_split(tmp_path: Path) -> None:
    for name in ("bullet train", "freight train", "contest", "devil"):
        paint(tmp_path / name)
    assert counts(tmp_path) == {"train": [2, 2, 2, 2]}


def test_splits_inside_classes(tmp_path: Path) -> None:
    for name in ("cat/train", "cat/test", "dog/train", "dog/test"):
        paint(tmp_path / name)
    assert "cat has the split 'test' inside: put splits first, as in test/cat" in refusal(tmp_path)


def test_an_unlabelled_test_split(tmp_path: Path) -> None:
    for name in ("train/a", "train/b", "test"):
        paint(tmp_path / name)
    assert f"{tmp_path / 'test' / 'a'} holds no images" in refusal(tmp_path)


def test_a_class_that_only_the_test_split_has(tmp_path: Path) -> None:
    for name in ("train/a", "train/b", "test/a", "test/c"):
        paint(tmp_path / name)
    assert "has class 'c', which train lacks" in refusal(tmp_path)


# --- classes ---------------------------------------------------------------------------------------------------------


def test_too_few_classes(tmp_path: Path) -> None:
    assert "is not a folder" in refusal(tmp_path / "none")
    paint(tmp_path / "red")
    assert "at least 2; it has 1" in refusal(tmp_path)
    (tmp_path / "blue").mkdir()
    assert "blue holds no images" in refusal(tmp_path)


def test_classes_one_folder_further_down(tmp_path: Path) -> None:
    paint(tmp_path / "release-1" / "a")
    paint(tmp_path / "release-1" / "b")
    assert f"if the classes are in 'release-1', give folder:{tmp_path / 'release-1'}" in refusal(tmp_path)


def test_an_archive_in_a_folder_of_its_name(tmp_path: Path) -> None:
    paint(tmp_path / "Photos" / "photos" / "training_set" / "training_set" / "a", 3)
    paint(tmp_path / "Photos" / "photos" / "training_set" / "training_set" / "b")
    paint(tmp_path / "Photos" / "__MACOSX" / "photos")
    (tmp_path / "Photos" / "README.md").touch()
    assert counts(tmp_path / "Photos") == {"train": [3, 2]}


def test_images_further_down_belong_to_the_class(tmp_path: Path) -> None:
    for name in ("cat/2019/may", "cat/2020", "dog/a b/ü"):
        paint(tmp_path / name)
    assert counts(tmp_path) == {"train": [4, 2]}


def test_names_in_any_spelling_of_unicode(tmp_path: Path) -> None:
    for part, form in (("train", "NFC"), ("test", "NFD")):
        paint(tmp_path / part / unicodedata.normalize(form, "Käse (gut)"), 3)  # type: ignore[arg-type]
        paint(tmp_path / part / "日本")
    if len(os.listdir(tmp_path / "test")) == 2:
        assert counts(tmp_path) == {"train": [3, 2], "test": [3, 2]}
    for form in ("NFC", "NFD"):
        (tmp_path / "train" / unicodedata.normalize(form, "Käse (gut)")).mkdir(exist_ok=True)  # type: ignore[arg-type]
    if len(os.listdir(tmp_path / "train")) == 3:  # some file systems know one spelling alone
        assert "two folders named" in refusal(tmp_path)


# --- files -----------------------------------------------------------------------------------------------------------


def test_what_systems_and_programs_leave_behind(tmp_path: Path) -> None:
    for name in ("a", "b", ".Trash"):
        paint(tmp_path / name)
    for folder in ("__MACOSX", "@eaDir", ".thumbnails"):
        (tmp_path / "a" / folder).mkdir()
        (tmp_path / "a" / folder / "0.png").write_bytes(b"no image")
    for file in (".DS_Store", "._0.png", "Thumbs.db", "desktop.ini", "README", "labels.CSV", "0.json"):
        (tmp_path / "b" / file).write_bytes(b"no image")
    assert counts(tmp_path) == {"train": [2, 2]}


def test_suffixes_in_upper_case(tmp_path: Path) -> None:
    paint(tmp_path / "a")
    paint(tmp_path / "b")
    for name in ("A.JPG", "B.Tiff", "C.Jpeg"):
        Image.new("RGB", (5, 5)).save(tmp_path / "a" / name)
    assert counts(tmp_path) == {"train": [5, 2]}


@pytest.mark.parametrize("name", ["photo.heic", "photo.NEF", "slices.dcm", "photo", "clip.mp4", "a.zip", "0.png.part"])
def test_files_that_raynas_cannot_read_are_named(name: str, tmp_path: Path) -> None:
    paint(tmp_path / "a")
    paint(tmp_path / "b")
    (tmp_path / "b" / name).write_bytes(b"something")
    assert f"{tmp_path / 'b' / name} is no image that can be read" in refusal(tmp_path)


def test_many_bad_files_make_one_line(tmp_path: Path) -> None:
    paint(tmp_path / "a")
    (tmp_path / "b").mkdir()
    for i in range(30):
        (tmp_path / "b" / f"{i:02}.heic").touch()
    message = refusal(tmp_path)
    assert "02.heic is no image" in message and "03.heic" not in message and message.endswith("; and 27 more")


# --- links -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    paint(tmp_path / "data" / "a")
    paint(tmp_path / "data" / "b")
    try:
        (tmp_path / "try").symlink_to(tmp_path)
    except OSError:
        pytest.skip("links are not allowed here")
    return tmp_path / "data"


def test_links_to_folders_elsewhere(linked: Path) -> None:
    paint(linked.parent / "pool", 5)
    paint(linked.parent / "more")
    (linked / "b" / "more").symlink_to("../../more", target_is_directory=True)
    (linked / "c").symlink_to(linked.parent / "more" / ".." / "pool", target_is_directory=True)
    assert counts(linked) == {"train": [2, 4, 5]}


def test_links_to_images_elsewhere(linked: Path) -> None:
    paint(linked.parent / "pool", 3)
    for i in range(3):
        (linked / "a" / f"linked{i}.png").symlink_to(linked.parent / "pool" / f"{i}.png")
    assert counts(linked) == {"train": [5, 2]}
    assert counts(linked.parent / "try" / "data") == {"train": [5, 2]}


@pytest.mark.parametrize("target", [".", "..", "../..", "../../..", "../b"])
def test_links_to_folders_that_are_read_already(target: str, linked: Path) -> None:
    (linked / "a" / "loop").symlink_to(target, target_is_directory=True)
    message = refusal(linked)
    assert "is a link to" in message and "read twice; remove the link" in message


def test_a_split_that_is_a_link_to_another(linked: Path) -> None:
    for name in ("a", "b"):
        paint(linked / "set" / "train" / name)
        paint(linked / "set" / "test" / name)
    (linked / "set" / "val").symlink_to("test", target_is_directory=True)
    assert "read twice" in refusal(linked / "set")


def test_a_root_that_links_to_itself(linked: Path) -> None:
    (linked / "data").symlink_to(".", target_is_directory=True)
    assert "is a link to" in refusal(linked)


@pytest.mark.parametrize("target", ["gone.png", "self.png"])
def test_links_to_nothing(target: str, linked: Path) -> None:
    (linked / "a" / "self.png").symlink_to(target)
    assert "self.png is a broken link" in refusal(linked)


def test_an_image_under_two_names(linked: Path) -> None:
    (linked / "b" / "copy.png").symlink_to("../a/0.png")
    assert f"copy.png is the same file as {linked / 'a' / '0.png'}; remove the link" in refusal(linked)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    paint(tmp_path / "a")
    paint(tmp_path / "b")
    os.mkfifo(tmp_path / "b" / "camera.jpg")
    assert "camera.jpg is a broken link or no file" in refusal(tmp_path)
