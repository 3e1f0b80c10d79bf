"""Whole searches of networks and accelerators at once."""

from pathlib import Path

import pytest

from raynas import Architecture
from raynas.codesign import AcceleratorSpace, CodesignSpace, accelerator_metrics
from raynas.core.architecture import Config
from raynas.metrics import Measurer, read_goal
from raynas.run.simulate import drive
from raynas.search_spaces import MLP
from raynas.strategies import NSGA2, RandomSearch
from raynas.testing import run_trials
from raynas.trials import Function, Tabular

NETWORKS = MLP(input_shape=(5,), n_classes=3, max_layers=1)
SPACE = CodesignSpace(NETWORKS, AcceleratorSpace(rows=(4, 8, 16), input_kb=(8,), weight_kb=(8, 1), output_kb=(8,)))
COSTS = ["accelerator_latency_ms", "accelerator_energy_mj"]


def width(arch: Architecture) -> float:
    return sum(float(option) for name, option in arch.items() if name.endswith("width")) / 10_000


@pytest.fixture
def table(tmp_path: Path) -> Tabular:
    members = NETWORKS.enumerate()
    rows = [f'"{arch.to_json().replace(chr(34), chr(34) * 2)}",{width(arch)}' for arch in members]
    (tmp_path / "table.csv").write_text("\n".join(["arch,accuracy", *rows]))
    return Tabular(table=str(tmp_path / "table.csv"))


def test_a_row_of_a_table_holds_for_every_accelerator(table: Tabular) -> None:
    (trajectory,) = drive(
        RandomSearch(), table, SPACE, 20, objectives=["accuracy", *COSTS], metrics=accelerator_metrics()
    )
    assert [e.metrics["accuracy"] for e in trajectory.evaluations] == [
        width(SPACE.inside(e.arch)) for e in trajectory.evaluations
    ]
    assert len(trajectory.evaluations) == 20 and all(e.metrics[COSTS[1]] > 0 for e in trajectory.evaluations)
    point = SPACE.pair(NETWORKS.default, {**SPACE.accelerators.default, "accelerator.rows": 16})
    assert table.load(SPACE).reports(point) == table.load(NETWORKS).reports(NETWORKS.default)
    assert table.evaluate(SPACE, point)["accuracy"] == width(NETWORKS.default)


def test_both_halves_move_and_a_front_comes_out() -> None:
    def scored(model: object, config: Config) -> dict[str, float]:
        return {"accuracy": width(SPACE.inside(Architecture(config["arch"])))}

    costs = Measurer(SPACE).costs(accelerator_metrics())
    runner = Function(fn=scored).runner(SPACE, accelerator_metrics())
    strategy = NSGA2(population_size=8)
    goal = read_goal(["accuracy", *COSTS], "accelerator_area_mm2 <= 0.1", accelerator_metrics())
    searcher = strategy.searcher(SPACE, goal, seed=0, costs=costs)
    run_trials(searcher, runner.run, 40)
    front = goal.pareto_front(searcher.archive.evaluations)
    assert len({SPACE.inside(e.arch) for e in front}) > 1 and len({SPACE.accelerator(e.arch) for e in front}) > 1
    assert all(e.metrics["accelerator_area_mm2"] <= 0.1 for e in front)
    for evaluation in front:
        assert {name: evaluation.metrics[name] for name in costs} == {
            n: cost(evaluation.arch) for n, cost in costs.items()
        }
