"""Architectures in files."""

import json
from pathlib import Path

import pytest

from raynas.core.architecture import Architecture, Option
from raynas.errors import RaynasError
from raynas.run.architecture_file import read_architecture
from raynas.search_spaces import MLP

MLP_ARCH: dict[str, Option] = {
    "n_layers": 1,
    "activation": "relu",
    "dropout": 0.0,
    "norm": "none",
    "layers.0.width": 32,
}


def test_an_architecture(tmp_path: Path) -> None:
    (tmp_path / "arch.json").write_text(json.dumps(MLP_ARCH))
    assert read_architecture(tmp_path / "arch.json", MLP()) == Architecture(MLP_ARCH)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "must be a JSON object"),
        (b"[1]", "must be a JSON object"),
        (b"[" * 200_000, "holds no architecture"),
        (b"\xff\xfe\x00", "holds no architecture"),
        (b" " * 2**21, "more than 1048576 bytes"),
        (b'{"n_layers": 1}', "lacks decision"),
        (b'{"__class__": "os.system"}', "no decision '__class__'"),
        (b'{"n_layers": {"a": 1}}', "must hold a string, a finite number"),
        (b'{"n_layers": NaN}', "must be a JSON object"),
        (b'{"n_layers": ' + b"9" * 5000 + b"}", "holds no architecture"),
    ],
)
def test_a_hostile_architecture(content: bytes, told: str, tmp_path: Path) -> None:
    file = tmp_path / "arch.json"
    file.write_bytes(content)
    with pytest.raises(RaynasError, match=told):
        read_architecture(file, MLP())


def test_an_architecture_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.json", tmp_path):
        with pytest.raises(RaynasError, match="cannot read the architecture"):
            read_architecture(path, MLP())
