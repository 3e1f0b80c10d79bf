"""Archives shown, merged, exported, and continued."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from raynas.cli.exit_codes import ExitCode
from raynas.cli.main import main
from raynas.core.archive import Archive
from raynas.errors import ArchiveError
from raynas.run.merging import merge_archives
from raynas.run.study import Study
from raynas.strategies import GridSearch, RandomSearch
from raynas.testing import ToySpace

SPACE = ToySpace(n_layers=3)


def searched(folder: Path, n: int = 8, seed: int = 0, **options: Any) -> Path:
    study = Study(SPACE, folder, RandomSearch(), num_samples=n, seed=seed, **options)
    for proposal in study.propose(n):
        study.observe(proposal.trial, {"accuracy": SPACE.accuracy(proposal.arch), "loss": 1.0})
    return folder


def answer(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    code = main([*argv, "--json"])
    (line,) = capsys.readouterr().out.splitlines()
    told: dict[str, Any] = json.loads(line)
    assert told["exit_code"] == code
    return told


def test_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = searched(tmp_path / "a")
    Study(SPACE, folder, GridSearch(), num_samples=9).propose()
    (one,) = answer(capsys, "archive", "show", str(folder))["result"]["archives"]
    assert one["counts"]["finished"] == 8 and one["open"] == ["00009"] and one["num_samples"] == 9
    assert [s.partition("(")[0] for s in one["strategies"]] == ["RandomSearch", "GridSearch"]
    assert one["best"]["metrics"]["accuracy"] == max(
        e.metrics["accuracy"] for e in Archive.load(folder / "archive.jsonl").evaluations
    )
    assert main(["archive", "show", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "8 finished; 1 open, 9 in the end" in out and f"best         trial {one['best']['trial']}: accuracy" in out


def test_a_merged_archive_is_searched_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = [searched(tmp_path / name, 12, seed) for name, seed in (("a", 1), ("b", 2))]
    both = [e.arch for part in parts for e in Archive.load(part / "archive.jsonl").evaluations]
    output = tmp_path / "both"
    merged = answer(capsys, "archive", "merge", *map(str, parts), "--output", str(output))["result"]
    assert merged["evaluations"] == len(set(both)) and merged["dropped"] == len(both) - len(set(both)) > 0
    archive = Archive.load(output / "archive.jsonl")
    assert [e.trial for e in archive.evaluations] == [f"{n:05d}" for n in range(1, len(set(both)) + 1)]
    study = Study(SPACE, output, RandomSearch(), num_samples=len(set(both)) + 3, seed=1)
    proposals = study.propose(5)
    assert len(proposals) == 3 and not {p.arch for p in proposals} & set(both)
    assert (
        answer(capsys, "archive", "merge", *map(str, parts), "--output", str(output))["exit_code"] == ExitCode.UNUSABLE
    )


def test_of_two_evaluations_the_longer_training_is_kept(tmp_path: Path) -> None:
    arch = {f"layers.{i}": 1 for i in range(3)}
    for name, fidelity, accuracy in (("a", 1, 0.9), ("b", 5, 0.7), ("c", 5, 0.8)):
        Study(SPACE, tmp_path / name).observe(arch, {"accuracy": accuracy}, fidelity=fidelity)
    merged = merge_archives([tmp_path / name for name in "abc"], tmp_path / "all")
    (evaluation,) = Archive.load(merged.path).evaluations
    assert (evaluation.metrics["accuracy"], evaluation.fidelity, merged.n_dropped) == (0.7, 5, 2)


def test_what_differs_is_not_merged(tmp_path: Path) -> None:
    a, b = searched(tmp_path / "a", 2), searched(tmp_path / "b", 2, objectives="min:loss")
    with pytest.raises(ArchiveError, match=r"is of another search than .*: objectives is \['min:loss'\], not"):
        merge_archives([a, b], tmp_path / "c")
    lines = (b / "archive.jsonl").read_text().replace("min:loss", "max:accuracy").replace("Outside()", "Other()")
    (b / "archive.jsonl").write_text(lines)
    with pytest.raises(ArchiveError, match=r"trainable is Other\(\), not Outside\(\); say mixed"):
        merge_archives([a, b], tmp_path / "c")
    assert merge_archives([a, b], tmp_path / "c", mixed=True).n_evaluations > 0


@pytest.mark.parametrize(("kind", "read"), [("csv", pd.read_csv), ("json", pd.read_json), ("parquet", pd.read_parquet)])
def test_export(
    kind: str, read: Callable[[Path], pd.DataFrame], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [str(searched(tmp_path / name, 3, seed)) for name, seed in (("a", 1), ("b", 2))]
    file = tmp_path / f"trials.{kind}"
    told = answer(capsys, "archive", "export", *folders, "--output", str(file))["result"]
    table = read(file)
    assert told["rows"] == len(table) == 6 and set(told["columns"]) == set(table.columns)
    assert set(table["archive"]) == set(folders) and table["accuracy"].between(0, 1).all()


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        ([], ExitCode.BAD_INPUT),
        (["merg"], ExitCode.BAD_INPUT),
        (["show"], ExitCode.BAD_INPUT),
        (["show", "no/such/folder"], ExitCode.UNUSABLE),
        (["merge", "a", "b"], ExitCode.BAD_INPUT),
        (["show", "a", "--output", "b"], ExitCode.BAD_INPUT),
        (["export", "a", "--output", "b.csv", "--mixed"], ExitCode.BAD_INPUT),
    ],
)
def test_what_makes_no_sense(argv: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys, "archive", *argv)["exit_code"] == code
