"""The benchmark of importance, at its smallest."""

from pathlib import Path

import numpy as np
import pytest

from raynas.metrics.cost import count_macs
from scripts.bench.importance import CRITERIA, NETWORKS, converted, main, of_size, report
from scripts.bench.search_quality import read


@pytest.mark.parametrize("name", NETWORKS)
def test_members_have_the_multiply_adds_that_are_asked_for(name: str) -> None:
    space = converted(NETWORKS[name](), "l1", 0)
    whole = count_macs(space.build(space.largest), (1, 8, 8))
    for share in (0.75, 0.5):
        assert count_macs(space.build(of_size(space, share)), (1, 8, 8)) / whole == pytest.approx(share, abs=0.05)


def test_it_runs_small_and_goes_on_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--quick", "--networks", "transformer", "--results", str(tmp_path)]
    main(command)
    told = capsys.readouterr().out
    (row,) = read(tmp_path / "importance.jsonl")
    assert set(row["loss"]) == {f"{criterion} {share}" for criterion in CRITERIA for share in (0.75, 0.5)}
    assert len({tuple(losses) for losses in row["loss"].values()}) > 4
    main(command)
    assert capsys.readouterr().out == told == (tmp_path / "importance.md").read_text()
    assert read(tmp_path / "importance.jsonl") == [row]


def test_the_table_compares_with_random_channels_seed_by_seed() -> None:
    losses = {"l1": 1.0, "taylor": 4.0, "activation": 2.0, "random": 3.0}
    rows = [
        {
            "network": "resnet",
            "seed": seed,
            "accuracy": 90.0,
            "macs": [0.75, 0.5],
            "loss": {
                f"{name} {share}": list(np.array([loss, loss, loss]) + 10 * seed + 0.01 * seed * loss)
                for name, loss in losses.items()
                for share in (0.75, 0.5)
            },
        }
        for seed in range(3)
    ]
    lines = report(rows).splitlines()[2:]
    assert lines[0].startswith("| resnet | 75% | l1 | 3 | 11.0 ± 5.8 | +2.020 ± 0.012, better |")
    assert "-1.010 ± 0.006, worse" in lines[1] and lines[3].endswith("| 13.0 ± 5.8 |  |")
