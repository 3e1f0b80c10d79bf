"""The benchmark of strategies: the tables that are shipped, and what its summaries say."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from raynas.core.cost_limits import Costs
from raynas.core.pareto import hypervolume
from raynas.core.searcher import ArchitectureSearcher
from raynas.run.simulate import drive
from raynas.strategies import Asha, GaussianProcess, RandomSearch, RegularizedEvolution
from raynas.trials.table import Table
from scripts.bench.benchmarks import BENCHMARKS, SAMPLED, SCHEDULERS, STRATEGIES
from scripts.bench.search_quality import fronts, main, read
from scripts.bench.summaries import markdown, stopping_markdown, stopping_summary, summary, verdict

SHIPPED = ("digits_cells", "digits_chains")


@pytest.fixture(scope="module", params=SHIPPED)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def loaded(name: str) -> Table:
    return BENCHMARKS[name].load(None)


def test_every_architecture_is_in_its_table(name: str, loaded: Table) -> None:
    space = BENCHMARKS[name].space
    assert set(loaded.rows) == set(space.enumerate())
    assert len(loaded) == space.size == {"digits_cells": 4**6, "digits_chains": 24 * (3 + 9 + 27)}[name]
    functions = {space.function_key(arch) for arch in loaded.rows}
    assert len(functions) == {"digits_cells": 871, "digits_chains": 936}[name]
    assert Path(BENCHMARKS[name].table.table).stat().st_size < 150_000


def test_curves_are_those_of_training(name: str, loaded: Table) -> None:
    accuracy = loaded.values["accuracy"]
    assert accuracy.shape[1] == {"digits_cells": 12, "digits_chains": 54}[name]
    assert np.isfinite(accuracy).all() and accuracy[:, -1].min() > 5 and accuracy.max() < 100
    assert (np.diff(accuracy.mean(axis=0)) > -1).all(), "more training is better, in the mean"
    low, median, high = np.quantile(accuracy[:, -1], [0.05, 0.5, 0.95])
    assert high - low > 20 and high - median > 2, "there is something to find"


def test_architectures_of_the_same_function_score_the_same(name: str, loaded: Table) -> None:
    space = BENCHMARKS[name].space
    scores: dict[Any, float] = {}
    for arch in loaded.rows:
        value = loaded.value("accuracy", arch)
        assert scores.setdefault(space.function_key(arch), value) == value


@pytest.mark.parametrize("strategy", [RegularizedEvolution(population_size=20, tournament_size=5), GaussianProcess()])
def test_searches_beat_random_and_need_no_cluster(name: str, loaded: Table, strategy: Any) -> None:
    space, seeds, n = BENCHMARKS[name].space, range(4), 40
    random = [t.best_after(n) for t in drive(RandomSearch(), loaded, space, n, seeds)]
    found = [t.best_after(n) for t in drive(strategy, loaded, space, n, seeds)]
    assert np.mean(found) > np.mean(random)


def test_nothing_can_be_learned_of_a_shuffled_table(name: str, loaded: Table) -> None:
    """Of 20 seeds; evolution is what would profit most from a table that lets scores through."""
    gaps = []
    for seed in range(20):
        table = loaded.shuffled("accuracy", seed)
        searches = (RandomSearch(), RegularizedEvolution(population_size=10, tournament_size=5))
        random, found = (drive(s, table, BENCHMARKS[name].space, 50, [seed])[0].best_after(50) for s in searches)
        gaps.append(found - random)
    assert abs(np.mean(gaps)) < 4 * np.std(gaps, ddof=1) / 20**0.5


def test_early_stopping_on_real_curves() -> None:
    """What ASHA leaves of the epochs: at least a tenth must remain below 3 epochs of grace and rungs at 3, 9, 27."""
    space, table = BENCHMARKS["digits_chains"].space, BENCHMARKS["digits_chains"].load(None)
    asha = RandomSearch(early_stopping=Asha(grace_period=3))
    full, stopped = (drive(s, table, space, 100, range(8), n_workers=4) for s in (RandomSearch(), asha))
    shares = [s.trained_seconds[-1] / f.trained_seconds[-1] for s, f in zip(stopped, full, strict=True)]
    assert 0.1 < np.mean(shares) < 0.25
    assert np.mean([f.best_after(100) - s.best_after(100) for s, f in zip(stopped, full, strict=True)]) < 0.5


# --- summaries -------------------------------------------------------------------------------------------------------


def rows(**gains: float) -> list[dict[str, Any]]:
    """Four seeds, whose luck is the same for every strategy, and what each gains on top."""
    rng = np.random.default_rng(0)
    luck = rng.normal(90, 1, 4)
    return [
        {"strategy": name, "seed": i, "n": 2, "best": [80.0, luck[i] + gain + 0.01 * i], "ms": 1.0}
        for name, gain in gains.items()
        for i in range(4)
    ]


def test_differences_are_seed_by_seed() -> None:
    told = summary(rows(random=0.0, better=0.5), [2], optimum=89.0).set_index("strategy")
    assert told.loc["better", "gap@2"] == pytest.approx(0.5) and told.loc["better", "gap_error@2"] < 1e-9
    assert told.loc["better", "error@2"] > 0.1, "its own spread is that of luck"
    assert told.loc["random", "gap@2"] == 0


def test_searches_that_ended_early_keep_their_best() -> None:
    told = summary([{"strategy": "a", "seed": 0, "n": 9, "best": [1.0, 2.0], "ms": 1.0}], [1, 9], optimum=2.0)
    assert list(told[["best@1", "best@9", "optimum@1", "optimum@9"]].iloc[0]) == [1, 2, 0, 1]


@pytest.mark.parametrize(
    ("gap", "error", "expected"),
    [
        (0.31, 0.1, "+0.310 ± 0.100, better"),
        (-0.31, 0.1, "-0.310 ± 0.100, worse"),
        (0.29, 0.1, "+0.290 ± 0.100, no difference"),
        (0.0, 0.0, "the same"),
        (0.1, float("nan"), "unknown"),
    ],
)
def test_three_standard_errors_are_a_difference(gap: float, error: float, expected: str) -> None:
    assert verdict(gap, error) == expected


def test_a_line_for_each_strategy() -> None:
    told = summary(rows(random=0.0, better=0.5), [2], optimum=95.0)
    head, _, first, second = markdown(told, [2], compares=True).splitlines()
    assert head == "| strategy | seeds | after 2 | ms per trial | against random after 2 |"
    assert first.endswith("| the same |") and second.startswith("| better | 4 | ")
    assert "against" not in markdown(told, [2])


def test_schedulers_are_judged_at_as_many_trials_and_at_a_quarter_of_the_epochs() -> None:
    full = [{"strategy": "in full", "seed": i, "best": [5.0, 6, 7, 8], "trained": [1, 2, 3, 4]} for i in range(2)]
    stopped = [
        {"strategy": "ASHA", "seed": i, "best": [float("nan"), 4, 9 + i, 9 + i], "trained": [0.5, 0.75, 1.0, 1.5]}
        for i in range(2)
    ]
    told = stopping_summary([*full, *stopped], [4]).set_index("strategy")
    assert list(told.loc["ASHA", ["epochs@4", "trials@4", "best@4", "cheap@4"]]) == [1.5 / 4, 3, 9.5, 9.5]
    assert list(told.loc["ASHA", ["gap@4", "gap@cheap@4", "gap_error@4"]]) == [1.5, 1.5, 0.5]
    assert list(told.loc["in full", ["epochs@4", "trials@4", "best@4", "cheap@4"]]) == [1, 1, 8, 5]
    line = stopping_markdown(told.reset_index(), [4]).splitlines()[3]
    assert line == (
        "| ASHA | 2 | 4 | 9.500 | 0.375 | +1.500 ± 0.500, no difference | 9.500 | 3 | +1.500 ± 0.500, no difference |"
    )


def test_a_cut_line_of_results_is_dropped(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    assert read(file) == []
    file.write_text('{"seed": 0}\n{"seed": 1')
    assert read(file) == [{"seed": 0}] and file.read_text() == '{"seed": 0}\n'


def test_volumes_are_shares_of_the_tables_own() -> None:
    benchmark = BENCHMARKS["digits_chains"]
    table, objectives = benchmark.load(None), ("accuracy", "macs")
    whole = int(benchmark.space.size)
    (everything,) = drive(RandomSearch(), table, benchmark.space, whole, objectives=list(objectives))
    found = fronts(everything, table, objectives)
    assert (np.diff(found) >= 0).all() and found[-1] == pytest.approx(1) and found[0] < found[-1]
    accuracy, macs = table.values["accuracy"][:, -1], table.values["macs"][:, -1]
    scaled = np.stack([(accuracy - accuracy.min()) / np.ptp(accuracy), (macs.max() - macs) / np.ptp(macs)], axis=1)
    first = scaled[table.rows[everything.evaluations[0].arch]]
    assert found[0] == pytest.approx(first.prod() / hypervolume(scaled, [0, 0]))


def test_candidates_that_cannot_be_enumerated_are_compared_too() -> None:
    assert "Gaussian process, sampled" in SAMPLED and not set(SAMPLED) & set(STRATEGIES)
    assert all(strategy.max_enumerated == 0 for strategy in SAMPLED.values())  # type: ignore[attr-defined]
    assert next(iter(SCHEDULERS)) == "in full" and SCHEDULERS["in full"].early_stopping is None


def test_the_script_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["search_quality.py", "--benchmark", "digits_chains", "--results", str(tmp_path)]
    command += ["--strategies", "random", "evolution", "--evaluations", "30", "--seeds"]
    for seeds in ("1", "2"):
        monkeypatch.setattr(sys, "argv", [*command, seeds])
        main()
        assert f"| evolution | {seeds} | " in capsys.readouterr().out
    lines = read(tmp_path / "digits_chains" / "search_quality.jsonl")
    assert [(line["strategy"], line["seed"]) for line in lines] == [
        (s, i) for i in (0, 1) for s in ("random", "evolution")
    ]
    told = pd.read_csv(tmp_path / "digits_chains" / "search_quality.csv")
    assert list(told["best@25"]) == [
        np.mean([line["best"][24] for line in lines if line["strategy"] == s]) for s in told["strategy"]
    ]
    assert (tmp_path / "digits_chains" / "search_quality.png").stat().st_size > 0


def test_a_second_objective_from_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its fronts are compared with those of the first strategy."""
    table = BENCHMARKS["digits_chains"].table
    columns = pd.read_csv(table.table)[["arch"]]
    columns["watts"] = np.arange(len(columns))
    columns.to_csv(tmp_path / "watts.csv", index=False)
    command = ["search_quality.py", "--benchmark", "digits_chains", "--results", str(tmp_path), "--hypervolume"]
    command += ["--join", str(tmp_path / "watts.csv"), "--second", "watts"]
    command += ["--strategies", "random", "NSGA-II", "--evaluations", "25", "--seeds", "2"]
    monkeypatch.setattr(sys, "argv", command)
    main()
    assert "against random after 25" in capsys.readouterr().out
    lines = read(tmp_path / "digits_chains" / "hypervolume_watts.jsonl")
    assert [line["strategy"] for line in lines] == ["random", "NSGA-II"] * 2
    assert all(0 < line["best"][0] <= line["best"][-1] <= 1 for line in lines)


def test_a_second_objective_may_be_known_before_a_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known: list[set[str]] = []
    searcher = RandomSearch.searcher

    def noted(*args: Any, costs: Costs, **options: Any) -> ArchitectureSearcher:
        known.append(set(costs) & {"n"})
        return searcher(*args, costs=costs, **options)

    monkeypatch.setattr(RandomSearch, "searcher", noted)
    pd.DataFrame({"arch": pd.read_csv(BENCHMARKS["digits_chains"].table.table)["arch"], "n": range(936)}).to_csv(
        tmp_path / "n.csv", index=False
    )
    command = ["search_quality.py", "--benchmark", "digits_chains", "--results", str(tmp_path), "--hypervolume"]
    command += ["--strategies", "random", "--evaluations", "1", "--seeds", "1", "--join", str(tmp_path / "n.csv")]
    for options in (["--second", "n"], ["--second", "n", "--known"]):
        monkeypatch.setattr(sys, "argv", [*command, *options])
        main()
    assert known == [set(), {"n"}]
    assert {file.stem for file in tmp_path.rglob("*.jsonl")} == {"hypervolume_n", "hypervolume_n_known"}
    monkeypatch.setattr(sys, "argv", [*command, "--known"])
    with pytest.raises(SystemExit):
        main()
    assert "--known is for --hypervolume --second COLUMN" in capsys.readouterr().err
