"""Data sets by name: what is loaded, how it is split, and one clear line for everything that can be wrong."""

from pathlib import Path

import numpy as np
import pytest

from raynas.data.image_sets import load_images
from raynas.data.images import ImageSplit
from raynas.errors import DataError, UnknownNameError
from tests.data.files import changed, save, some_images, splits_of


def as_pairs(split: ImageSplit) -> set[bytes]:
    return {image.tobytes() for image in split.array}


# --- digits ----------------------------------------------------------------------------------------------------------


def test_digits_need_nothing() -> None:
    data = load_images("digits")
    assert data.input_shape == (1, 8, 8) and data.n_classes == 10
    assert [len(split) for split in splits_of(data)] == [1151, 287, 359]
    assert data.train.images.dtype == np.uint8 and data.train.labels.dtype == np.int64


def test_scattered_digits() -> None:
    data, again = load_images("scattered_digits", valid_share=0.5), load_images("scattered_digits", valid_share=0.5)
    assert data.input_shape == (1, 12, 12) and data.n_classes == 10
    assert [len(split) for split in splits_of(data)] == [719, 719, 1436]
    assert data.test and again.test and as_pairs(data.test) == as_pairs(again.test) and len(as_pairs(data.test)) == 1436
    where = np.array([np.argwhere(image[..., 0] > 150).mean(axis=0) for image in data.test.array])
    assert where.std(axis=0).min() > 0.5, "digits are anywhere"


def test_splits_share_nothing_and_are_always_the_same() -> None:
    first, again = splits_of(load_images("digits")), splits_of(load_images("digits"))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.images, other.images)
    train, valid, test = map(as_pairs, first)
    assert not train & test and not train & valid and not valid & test


def test_every_class_is_in_every_split_in_proportion() -> None:
    for split in splits_of(load_images("digits")):
        shares = np.bincount(split.labels) / len(split)
        assert shares.min() > 0.08 and shares.max() < 0.12


# --- npz -------------------------------------------------------------------------------------------------------------


def test_npz_keeps_the_splits_it_has(tmp_path: Path) -> None:
    arrays = some_images()
    arrays |= {"x_valid": arrays["x_train"][:8], "y_valid": arrays["y_train"][:8]}
    arrays |= {"x_test": arrays["x_train"][8:20], "y_test": arrays["y_train"][8:20]}
    data = load_images(save(tmp_path, arrays))
    assert [len(split) for split in splits_of(data)] == [40, 8, 12]
    np.testing.assert_array_equal(data.train.images, arrays["x_train"])
    assert data.input_shape == (3, 6, 6) and data.n_classes == 4 and data.augment == "crop_flip"


def test_npz_holds_out_what_is_missing(tmp_path: Path) -> None:
    data = load_images(save(tmp_path, some_images(100)), valid_share=0.5)
    assert [len(split) for split in splits_of(data)] == [40, 40, 20]


def test_grey_images_get_a_channel_and_no_mirroring(tmp_path: Path) -> None:
    arrays = some_images()
    data = load_images(save(tmp_path, {**arrays, "x_train": arrays["x_train"][..., 0]}))
    assert data.input_shape == (1, 6, 6) and data.augment == "shift"


def test_float_images_are_kept_as_float32(tmp_path: Path) -> None:
    arrays = some_images()
    data = load_images(save(tmp_path, {**arrays, "x_train": arrays["x_train"] / 255.0}))
    assert data.train.images.dtype == np.float32


def test_whole_numbers_up_to_255_become_bytes(tmp_path: Path) -> None:
    arrays = some_images()
    data = load_images(save(tmp_path, {**arrays, "x_train": arrays["x_train"].astype(np.int64)}))
    assert data.train.images.dtype == np.uint8


def test_deeper_whole_numbers_become_floats(tmp_path: Path) -> None:
    arrays = some_images()
    deep = arrays["x_train"].astype(np.uint16) * 16
    signed = {
        **arrays,
        "x_train": deep.astype(np.int32) - 2000,
        "x_test": deep[:8] // 16,
        "y_test": arrays["y_train"][:8],
    }
    for case in ({**arrays, "x_train": deep}, signed):
        data = load_images(save(tmp_path, case))
        assert all(split.images.dtype == np.float32 for split in splits_of(data))
        everything = np.concatenate([split.images for split in splits_of(data)])
        assert everything.min() == case["x_train"].min() and everything.max() == case["x_train"].max()


def test_masks_become_black_and_white(tmp_path: Path) -> None:
    arrays = some_images()
    data = load_images(save(tmp_path, {**arrays, "x_train": arrays["x_train"] > 100}))
    assert set(np.unique(data.train.array)) == {0, 255}


def test_the_path_may_be_relative_to_where_the_driver_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, some_images())
    monkeypatch.chdir(tmp_path)
    assert load_images("npz:data.npz").name == f"npz:{tmp_path / 'data.npz'}"


x, y = some_images()["x_train"], some_images()["y_train"]

BAD = {
    "empty": (changed(x_train=x[:0], y_train=y[:0]), "x_train is empty"),
    "flat": (changed(x_train=x.reshape(40, -1)), r"x_train must have shape \(n, height, width"),
    "channels first": (changed(x_train=x.transpose(0, 3, 1, 2)), "channels first; transpose"),
    "text": (changed(x_train=x.astype(str)), "x_train must be uint8"),
    "complex": (changed(x_train=x + 1j), "x_train must be uint8 .*, other whole numbers or float, got complex128"),
    "several bands first": (changed(x_train=np.zeros((40, 13, 32, 32))), "channels first; transpose"),
    "too large": (changed(x_train=x * 1e300), "x_train holds values that are NaN or infinite"),
    "NaN": (changed(x_train=np.full(x.shape, np.nan)), "x_train holds values that are NaN"),
    "too few labels": (changed(y_train=y[:-1]), r"y_train must hold one label per image, shape \(40,\), got \(39,\)"),
    "one-hot": (changed(y_train=np.eye(4)[y]), r"y_train must hold one label per image.*one-hot, take \.argmax\(1\)"),
    "names": (changed(y_train=np.array(["a", "b", "c", "d"])[y]), "got <U1; convert with numpy.unique"),
    "fractions": (changed(y_train=y + 0.5), "y_train must hold whole numbers"),
    "negative": (changed(y_train=y - 1), "y_train holds label -1"),
    "from one": (changed(y_train=y + 1), "no training image has label 0"),
    "one class": (changed(y_train=y * 0), "at least 2"),
    "gap": (changed(y_train=y * 2), "no training image has label 1"),
    "huge": (changed(y_train=y * 10**15), "no training image has label 1,"),
    "beyond the names": (changed(classes=["a", "b", "c"]), "holds label 3, but there are 3 classes"),
    "unknown class": (changed(x_test=x, y_test=y + 1), "test holds label 4, but there are 4 classes"),
    "test alone": (changed(x_test=x), "needs both x_test and y_test"),
    "other size": (changed(x_test=x[:, :4], y_test=y), "test images are uint8 of 4x6x3, those of train uint8 of 6x6x3"),
    "other scale": (
        changed(x_train=x / 255, x_test=x * 1.0, y_test=y),
        "x_test goes up to 255, but .*x_train to 1; scale",
    ),
    "other depth": (changed(x_train=x, x_test=x * 257.0 // 1, y_test=y), "make them alike"),
    "other depth, whole": (changed(x_train=x, x_test=x.astype(int) * 257, y_test=y), "x_test goes up to 65535, but"),
    "other type": (changed(x_test=x / 255, y_test=y), "make them alike"),
    "lone": (changed(x_train=x[:2], y_train=[0, 1]), "2 training images are too few to hold out"),
    "objects": (changed(x_train=np.array([None] * 40)), "never loaded"),
    "no arrays": ({"images": x}, "needs both x_train and y_train; it holds images"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arrays_get_one_clear_line(name: str, tmp_path: Path) -> None:
    arrays, expected = BAD[name]
    with pytest.raises(DataError, match=expected) as caught:
        load_images(save(tmp_path, arrays))
    assert "\n" not in str(caught.value) and "data.npz" in str(caught.value)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"'cifar'.* did you mean 'cifar10'.*digits.*folder:PATH"):
        load_images("cifar")


def test_case_does_not_hide_what_was_meant() -> None:
    with pytest.raises(UnknownNameError, match="unknown data set 'MNIST'; did you mean 'mnist'"):
        load_images("MNIST")


def test_a_bare_path_is_answered_with_how_to_write_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    save(tmp_path, some_images())
    (tmp_path / "labels.csv").touch()
    with pytest.raises(DataError, match="'photos' is a folder; for images in it write folder:photos"):
        load_images("photos")
    with pytest.raises(DataError, match=r"'\./data\.npz' is a file; write npz:\./data\.npz"):
        load_images("./data.npz")
    with pytest.raises(DataError, match=r"'labels\.csv' is a file; data is read from npz:FILE"):
        load_images("labels.csv")
    (tmp_path / "digits").mkdir()
    assert load_images("digits").n_classes == 10  # a data set of raynas wins over a folder of its name
