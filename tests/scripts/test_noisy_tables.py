"""The benchmark on noisy landscapes: what the landscapes are, and that it runs."""

from pathlib import Path

import numpy as np
import pytest

from scripts.bench.noisy_tables import FOUR, LANDSCAPES, Chain, cells, main, nk, noisy, report
from scripts.bench.search_quality import read


@pytest.mark.parametrize(("n_others", "low", "high"), [(0, 1 / 30, 1 / 30), (1, 1 / 30, 6 / 30), (8, 0.15, 0.5)])
def test_a_decision_of_an_nk_landscape_changes_its_terms_alone(n_others: int, low: float, high: float) -> None:
    """The variance of a change is twice that of the terms which change, in the mean (K + 1) / 30 of all."""
    landscape, rng = nk(n_others, 0), np.random.default_rng(1)
    archs = [landscape.space.sample(rng) for _ in range(300)]
    scores = np.array([landscape.score(arch) for arch in archs])
    mutated = np.array([landscape.score(landscape.space.mutate(arch, rng)) for arch in archs])
    share = np.var(mutated - scores) / 2 / np.var(scores)
    assert 0.4 * low < share < 2 * high
    assert landscape.score(archs[0]) == nk(n_others, 0).score(archs[0]) != nk(n_others, 1).score(archs[0])


def test_noise_is_as_large_as_the_spread_of_the_best_third() -> None:
    _, archs, _, functions = cells(FOUR)
    agreeing, differing = noisy(FOUR, 3), noisy(FOUR, 3, twins_differ=True)
    twins = [np.flatnonzero(functions == function) for function in np.unique(functions)]
    pairs = np.array([members[:2] for members in twins if len(members) > 1])
    agree = np.array([[agreeing.score(archs[i]) for i in pair] for pair in pairs])
    differ = np.array([[differing.score(archs[i]) for i in pair] for pair in pairs])
    np.testing.assert_allclose(agree[:, 0], agree[:, 1])
    best = np.sort([differing.score(arch) for arch in archs])[-len(archs) // 3 :]
    noise = np.std(differ[:, 0] - differ[:, 1]) / 2**0.5
    assert 0.5 < noise / best.std() < 2


def test_the_landscapes_are_those_that_are_named() -> None:
    assert {"noisy_cells", "digits_cells", "digits_chains", "nk1", "nk3", "nk8"} <= LANDSCAPES.keys()
    space = LANDSCAPES["nk3"](0).space
    assert isinstance(space, Chain) and space.size == 3**30


def test_it_runs_small_and_goes_on_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--quick", "--landscapes", "nk1", "digits_chains", "--strategies", "local", "random"]
    command += ["--results", str(tmp_path)]
    main(command)
    told = capsys.readouterr().out
    rows = read(tmp_path / "noisy_tables.jsonl")
    assert len(rows) == 8 and all(len(row["best"]) == 25 and row["best"] == sorted(row["best"]) for row in rows)
    main(command)
    assert capsys.readouterr().out == told and read(tmp_path / "noisy_tables.jsonl") == rows
    assert (tmp_path / "noisy_tables.md").read_text() == told
    assert told.splitlines()[0] == "| landscape | strategy | seeds | ms | after 25 | local against it |"


def test_the_first_is_compared_with_the_others() -> None:
    rows = [
        {"landscape": "a", "strategy": name, "seed": seed, "best": [value + seed * (1 + value / 100)], "ms": 1.0}
        for name, value in (("gp", 2.0), ("random", 1.0))
        for seed in range(3)
    ]
    first, second = report(rows, [1]).splitlines()[2:]
    assert first == "| a | gp | 3 | 1.0 | 3.020 | the same |"
    assert second == "| a | random | 3 | 1.0 | 2.010 | +1.010 ± 0.006, better |"
