"""Files of images: what is read, and one clear line for everything that can be wrong."""

import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from raynas.data.image_sets import load_images
from raynas.errors import DataError
from tests.data.files import changed, save, some_images, splits_of
from tests.torchvision_here import can_import_torchvision

# --- npz -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"no numpy file", b"\x80\x04N."])
def test_a_bad_file_gets_one_clear_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "data.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"data\.npz cannot be read"):
        load_images(f"npz:{tmp_path / 'data.npz'}")


def test_a_damaged_array_gets_one_clear_line(tmp_path: Path) -> None:
    name = save(tmp_path, some_images())
    path = Path(name[4:])
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read"):
        load_images(name)


def test_a_missing_file_and_a_single_array(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.npz does not exist"):
        load_images(f"npz:{tmp_path / 'none.npz'}")
    np.save(tmp_path / "single.npy", np.zeros(3))
    with pytest.raises(DataError, match="holds a single array"):
        load_images(f"npz:{tmp_path / 'single.npy'}")


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "executed",))

    with pytest.raises(DataError):
        load_images(save(tmp_path, changed(x_train=np.array([Hostile()] * 40))))
    assert not (tmp_path / "executed").exists()


# --- torchvision -----------------------------------------------------------------------------------------------------


def write_idx(path: Path, values: NDArray[np.uint8]) -> None:
    """The format of MNIST: a magic number that tells type and dimensions, the sizes, then the bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">{values.ndim + 1}I", 0x800 + values.ndim, *values.shape)
    path.write_bytes(header + values.tobytes())


def write_mnist(directory: Path) -> None:
    rng = np.random.default_rng(0)
    for part, n in (("train", 60), ("t10k", 20)):
        write_idx(directory / f"{part}-images-idx3-ubyte", rng.integers(0, 256, (n, 28, 28), dtype=np.uint8))
        write_idx(directory / f"{part}-labels-idx1-ubyte", (np.arange(n) % 10).astype(np.uint8))


needs_torchvision = pytest.mark.skipif(not can_import_torchvision(), reason="torchvision is not installed")


@needs_torchvision
@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_mnist_from_its_own_files(name: str, folder: str, tmp_path: Path) -> None:
    write_mnist(tmp_path / folder / "raw")
    data = load_images(name, directory=tmp_path)
    assert [len(split) for split in splits_of(data)] == [50, 10, 20]
    assert data.input_shape == (1, 28, 28) and data.n_classes == 10 and data.train.images.dtype == np.uint8


@needs_torchvision
def test_truncated_files_get_one_clear_line(tmp_path: Path) -> None:
    write_mnist(tmp_path / "MNIST" / "raw")
    path = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"'mnist' in .* is damaged") as caught:
        load_images("mnist", directory=tmp_path)
    assert "\n" not in str(caught.value)


@needs_torchvision
@pytest.mark.parametrize("name", ["mnist", "cifar10", "cifar100"])
def test_without_a_network_the_user_learns_where_to_put_the_files(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import urllib.request
    from urllib.error import URLError

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(DataError, match=f"cannot download data '{name}'.* put .* into {tmp_path}") as caught:
        load_images(name, directory=tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("torch_version", "pair"),
    [("2.6.0", "==0.21.*"), ("2.13.0+cpu", "==0.28.*"), ("2.14.1+cu130", ">=0.29.1"), ("3.0.0a0", ">=0.29.1")],
)
def test_without_torchvision_the_user_learns_what_to_install(
    torch_version: str, pair: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setattr(torch, "__version__", torch_version)
    with pytest.raises(DataError) as caught:
        load_images("mnist", directory=tmp_path)
    assert str(caught.value) == (
        f"data 'mnist' needs torchvision: it is not installed; pip install 'torchvision{pair}', from where torch came, "
        f"pairs with your torch {torch_version}"
    )


def test_a_torchvision_for_another_torch_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms is missing')")
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        DataError, match=r"built for another torch \(RuntimeError: operator torchvision::nms is missing"
    ):
        load_images("mnist", directory=tmp_path)
