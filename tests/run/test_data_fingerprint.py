from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from raynas.run.data_fingerprint import CHUNK, SAMPLE, fingerprint_of, fingerprint_of_path


class Kind(Enum):
    ONE = 1


@pytest.mark.parametrize("value", [None, True, 0.1, 10**6, "adam", b"x", (1, "a"), {"lr": 0.1}, [0.5, None], Kind.ONE])
def test_a_short_value_is_shown_as_it_is(value: object) -> None:
    assert fingerprint_of(value) == repr(value)


def dataset(values: Any) -> TensorDataset:
    return TensorDataset(torch.tensor(values), torch.tensor([0, 1]))


@pytest.mark.parametrize(
    "make",
    [
        lambda last: np.array([1.0, last]),
        lambda last: torch.tensor([1.0, last], dtype=torch.bfloat16),
        lambda last: pd.DataFrame({"a": [1.0, last]}),
        lambda last: pd.Series([1.0, last]),
        lambda last: dataset([1.0, last]),
        lambda last: DataLoader(dataset([1.0, last])),
        lambda last: [np.array([last])] * 3,
        lambda last: {"x": torch.tensor(last), "y": list(range(100))},
        lambda last: "a long text " * 100 + str(last),
        lambda last: {last, "a", "b"},
    ],
)
def test_content_counts(make: Callable[[float], object]) -> None:
    first, same, other = map(fingerprint_of, map(make, (2.0, 2.0, 3.0)))
    assert first is not None and first == same != other and len(first) <= 60


def test_shape_and_type_count() -> None:
    assert len({fingerprint_of(np.zeros(shape, dtype)) for shape in (6, (2, 3)) for dtype in ("f4", "f8", "i8")}) == 6
    assert fingerprint_of(torch.zeros(3, device="meta")) != fingerprint_of(torch.zeros(4, device="meta"))


@pytest.mark.parametrize("value", [object(), len, Path("/data"), "/data/photos", [object()], {"a": object()}])
def test_no_fingerprint_of_objects_and_paths(value: object) -> None:
    assert fingerprint_of(value) is None


def test_much_data_is_sampled() -> None:
    large = np.zeros(1000 * SAMPLE, np.uint8)
    assert fingerprint_of(large) == fingerprint_of(large.copy())
    assert fingerprint_of(large) != fingerprint_of(large + 1)


def test_files_and_folders(tmp_path: Path) -> None:
    file = tmp_path / "data.npz"
    file.write_bytes(bytes(10 * CHUNK))
    found = {fingerprint_of_path(file)}
    for start in (0, 5 * CHUNK, 10 * CHUNK - 1):
        content = bytearray(10 * CHUNK)
        content[start] = 1
        file.write_bytes(content)
        found.add(fingerprint_of_path(file))
    assert len(found) == 4
    (tmp_path / "photos" / "cats").mkdir(parents=True)
    (tmp_path / "photos" / "cats" / "a.png").write_bytes(b"x")
    before = fingerprint_of_path(tmp_path / "photos")
    (tmp_path / "photos" / "cats" / "a.png").touch()
    assert fingerprint_of_path(tmp_path / "photos") == before, "a copy of a folder has other dates"
    (tmp_path / "photos" / "cats").rename(tmp_path / "photos" / "dogs")
    assert fingerprint_of_path(tmp_path / "photos") != before
