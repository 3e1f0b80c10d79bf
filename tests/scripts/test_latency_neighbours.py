"""The benchmark of a measuring actor beside busy neighbours, at its smallest."""

import sys

import pytest

from raynas.metrics.latency import Timing
from scripts.bench.latency_neighbours import figures, main


def timing(ms: float, doubt: str = "") -> Timing:
    return Timing(
        ms=ms, spread=0.0, backend="eager", version="", device="", n_threads=1, batch_size=1, dtype="", n_runs=5,
        waited=0.5, load=2.0, doubt=doubt,
    )  # fmt: skip


def test_figures_that_are_off_are_counted_and_those_that_were_noticed() -> None:
    cells = figures([timing(2.0), timing(2.1), timing(3.0), timing(4.0, "busy")], 2.0).split(" | ")
    assert cells == ["2.55", "46%", "+28%", "+100%", "2 of 4", "1 of 2", "1", "0.50", "2.00"]


@pytest.mark.skipif(sys.platform != "linux", reason="priorities are those of Linux")
def test_it_measures_in_each_process_with_and_without_neighbours(
    ray_cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--repeats", "2", "--backends", "eager", "--networks", "perceptron"])
    _, _, *rows = capsys.readouterr().out.splitlines()
    places = {tuple(row.split(" | ")[2:4]) for row in rows}
    assert {("0", "trial"), ("0", "actor"), ("2", "trial"), ("2", "actor")} <= places and len(rows) == len(places)
