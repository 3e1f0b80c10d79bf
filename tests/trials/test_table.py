"""Tables of trained networks: how they are read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from raynas.core.decision import Categorical, Decision
from raynas.errors import DataError
from raynas.search_spaces.nasbench201 import NASBench201, to_arch_str
from raynas.testing import ToySpace
from raynas.trials import Tabular
from tests.trials.tables import ARCHS, SPACE, frame, settings, written


@pytest.fixture
def path(tmp_path: Path) -> str:
    return written(tmp_path)


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
@pytest.mark.parametrize("per_decision", [True, False])
def test_every_form_of_table_says_the_same(tmp_path: Path, suffix: str, per_decision: bool) -> None:
    table = frame()
    if per_decision:  # an inactive decision is an empty field, which makes floats of the column's integers
        columns = pd.DataFrame([dict(arch) for arch in ARCHS])
        table = pd.concat([columns.astype({"layers.1": float}), table.drop(columns="arch")], axis=1)
    file = str(tmp_path / f"table{suffix}")
    table.to_parquet(file) if suffix == ".parquet" else table.to_csv(file, index=False)
    loaded = settings(file, arch=None if per_decision else "arch").load(SPACE)
    assert len(loaded) == 12
    for arch in ARCHS:
        assert loaded.value("accuracy", arch) == pytest.approx(SPACE.accuracy(arch))


def test_a_converter_reads_a_notation(tmp_path: Path) -> None:
    space = NASBench201()
    archs = [space.sample(np.random.default_rng(i)) for i in range(5)]
    file = str(tmp_path / "table.csv")
    pd.DataFrame({"cell": map(to_arch_str, archs), "accuracy": range(5)}).to_csv(file, index=False)
    reads = "raynas.search_spaces.nasbench201:from_arch_str"
    loaded = Tabular(table=file, arch="cell", read_arch=reads).load(space)
    assert [loaded.value("accuracy", arch) for arch in archs] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_digits_stay_text_for_a_converter(tmp_path: Path, suffix: str) -> None:
    """An identifier such as 0021 is no number, and one such as NA is not nothing."""
    names = {"0021": ARCHS[0], "21": ARCHS[1], "1e3": ARCHS[2], "NA": ARCHS[3], "True": ARCHS[4]}
    table = pd.DataFrame({"id": list(names), "accuracy": [0.1, 0.2, 0.3, 0.4, 0.5]})
    file = str(tmp_path / f"table{suffix}")
    table.to_parquet(file) if suffix == ".parquet" else table.to_csv(file, index=False)
    loaded = Tabular(table=file, arch="id", read_arch=lambda text: names[text]).load(SPACE)
    assert {arch: loaded.value("accuracy", arch) for arch in loaded.rows} == dict(
        zip(names.values(), table["accuracy"], strict=True)
    )


class Spelt(ToySpace):
    """Options that look like something else in a file."""

    @property
    def decisions(self) -> Sequence[Decision]:
        return [
            Categorical("text", ("7", "007", "", "NA", "None")),
            Categorical("flag", (True, False)),
            Categorical("width", (1, 2, None)),
            Categorical("other", ("Relu", "relu"), active_if={"flag": (True,)}),
        ]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_options_are_told_apart_however_they_look(tmp_path: Path, suffix: str) -> None:
    space = Spelt()
    archs = list(space.enumerate())
    columns = pd.DataFrame([dict(arch) for arch in archs])
    file = str(tmp_path / f"table{suffix}")
    table = columns.assign(accuracy=range(len(archs)))
    table.to_parquet(file) if suffix == ".parquet" else table.to_csv(file, index=False)
    loaded = Tabular(table=file, arch=None).load(space)
    assert loaded.rows == {arch: i for i, arch in enumerate(archs)}


def test_flags_of_other_programs_are_read(tmp_path: Path) -> None:
    table = pd.DataFrame({"text": ["7", "7"], "flag": ["TRUE", "false"], "width": ["2.0", "1"], "other": ["relu", ""]})
    file = str(tmp_path / "table.csv")
    table.assign(accuracy=[1, 2]).to_csv(file, index=False)
    first, second = Tabular(table=file, arch=None).load(Spelt()).rows
    assert dict(first) == {"text": "7", "flag": True, "width": 2, "other": "relu"}
    assert dict(second) == {"text": "7", "flag": False, "width": 1}


@pytest.mark.parametrize(
    ("table", "changes", "message"),
    [
        (frame(), {"arch": "cell"}, "table.csv has no column 'cell'; it has arch, acc_1"),
        (frame(), {"arch": None}, "no column 'layers.0'"),
        (frame(), {"fidelities": (1, 2)}, "no column 'acc_2'"),
        (frame(arch="17"), {}, "row 1: an architecture must be a JSON object"),
        (frame(arch="[]"), {}, "table.csv, row 1: an architecture must be a JSON object"),
        (frame(arch='{"layers.0": 7}'), {}, "row 1: ToySpace: 'layers.0' cannot be 7"),
        (frame(arch=ARCHS[3].to_json()), {}, "rows 1 and 2 are the same architecture"),
        (frame(acc_3="good"), {}, "column 'acc_3' must hold numbers"),
    ],
)
def test_a_malformed_table_is_refused(
    tmp_path: Path, table: pd.DataFrame, changes: dict[str, Any], message: str
) -> None:
    file = str(tmp_path / "table.csv")
    table.to_csv(file, index=False)
    with pytest.raises(DataError, match=message):
        settings(file, **changes).runner(SPACE)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere.csv does not exist"):
        settings("nowhere.csv").load(SPACE)
    (tmp_path / "bad.parquet").write_text("no table")
    with pytest.raises(DataError, match=r"bad.parquet cannot be read"):
        settings(str(tmp_path / "bad.parquet")).load(SPACE)


def test_a_row_with_too_many_values_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    frame().to_csv(path, index=False)
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *(row + ",7" for row in rows)]) + "\n")
    with pytest.raises(DataError, match="a row has more values than there are columns"):
        settings(str(path)).load(SPACE)


def test_a_shuffled_table_holds_the_same_numbers(path: str) -> None:
    table = settings(path).load(SPACE)
    shuffled = table.shuffled("accuracy", seed=1)
    before, after = ([t.value("accuracy", arch) for arch in ARCHS] for t in (table, shuffled))
    assert before != after and sorted(before) == sorted(after)
    assert shuffled.value("params", ARCHS[5]) == table.value("params", ARCHS[5])
    assert shuffled.reports(ARCHS[5])[0]["accuracy"] * 9 == pytest.approx(after[5])
