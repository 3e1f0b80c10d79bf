"""Funnels without a cluster: each stage's search is lived through in this process."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ray import tune

import raynas
from raynas import Architecture, Evaluation, FunnelResult, FunnelStage
from raynas.errors import RaynasError, UnknownNameError
from raynas.funnels import run
from raynas.funnels.report import draw
from raynas.strategies import GridSearch
from raynas.testing import ToySpace
from raynas.trials import Training, ZeroCost
from tests.funnels.in_process import InProcess

SPACE = ToySpace()


def scored(settings: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    try:
        outcome = settings.fn(None, config)
    except ValueError as error:
        return {"failed": 1, "error": str(error)}
    return {"accuracy": outcome, "params": SPACE.params(config["arch"]), "train_seconds": 2.0, "training_iteration": 1}


def cheap(model: Any, config: Mapping[str, Any]) -> float:
    """Tells as much as the first three decisions do."""
    return float(sum(config["arch"][f"layers.{i}"] for i in range(3)) / 9)


def better(model: Any, config: Mapping[str, Any]) -> float:
    return float(sum(config["arch"][f"layers.{i}"] for i in range(4)) / 12)


def best(model: Any, config: Mapping[str, Any]) -> float:
    return SPACE.accuracy(config["arch"])


def fails_for_the_best(model: Any, config: Mapping[str, Any]) -> float:
    if cheap(model, config) > 0.6:
        raise ValueError("too good to be true")
    return cheap(model, config)


def always_fails(model: Any, config: Mapping[str, Any]) -> float:
    raise ValueError("no luck at all")


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> InProcess:
    found = InProcess(scored, {"params": SPACE.params})
    monkeypatch.setattr(run, "search", found)
    monkeypatch.setattr(run, "draw", lambda found: None)  # half a second each
    return found


def funnel(folder: Path, *numbers: int, functions: Any = (cheap, better, best), **arguments: Any) -> FunnelResult:
    stages = [FunnelStage(fn, n=n) for fn, n in zip(functions, numbers, strict=True)]
    config = tune.RunConfig(name="funnel", storage_path=str(folder))
    settings = {"progress": False, "leave_report": False, "run_config": config, **arguments}
    return raynas.funnel(SPACE, stages, **settings)


def ranked(found: FunnelResult, number: int) -> list[Architecture]:
    """What a stage evaluated, best first, of equals the cheaper, then the earlier."""

    def rank(e: Evaluation) -> tuple[float, float]:
        return -e.metrics.get("accuracy", -1), e.metrics.get("params", math.inf)

    evaluations = found.stages[number - 1].result.evaluations
    return [e.arch for e in sorted(evaluations, key=rank)]


def test_the_report_is_of_the_last_stage(search: InProcess, tmp_path: Path) -> None:
    found = funnel(tmp_path, 6, 3, 2, leave_report=True)
    told = json.loads((tmp_path / "funnel" / "summary.json").read_text())
    assert told["title"] == "ToySpace, RandomSearch, a funnel of 3 stages"
    assert told["best"]["trial"] == found.best().trial
    kept = Architecture.from_json((tmp_path / "funnel" / "best" / "architecture.json").read_text())
    assert kept == found.best().arch
    assert not list((tmp_path / "funnel").glob("[123]-*/summary.json"))


def test_an_interrupted_funnel_has_no_report_of_a_stage_that_has_not_begun(search: InProcess, tmp_path: Path) -> None:
    search.n_left = 7
    assert funnel(tmp_path, 6, 3, 2, leave_report=True).interrupted
    assert not (tmp_path / "funnel" / "summary.json").exists()


# --- narrowing -------------------------------------------------------------------------------------------------------


def test_each_stage_has_the_best_of_the_one_before(search: InProcess, tmp_path: Path) -> None:
    found = funnel(tmp_path, 40, 12, 4)
    assert [len(at.result.evaluations) for at in found.stages] == [40, 12, 4]
    for number in (2, 3):
        archs = [e.arch for e in found.stages[number - 1].result.evaluations]
        assert archs == ranked(found, number - 1)[: len(archs)]
    assert found.best().metrics["accuracy"] == max(SPACE.accuracy(arch) for arch in ranked(found, 2)[:4])
    assert [at.result.path.name for at in found.stages] == ["1-function", "2-function", "3-function"]
    assert not found.interrupted


def test_the_strategy_proposes_the_first_stage(search: InProcess, tmp_path: Path) -> None:
    found = funnel(tmp_path, 5, 2, 1, strategy=GridSearch())
    grid = [arch for arch, _ in zip(SPACE.enumerate(), range(5), strict=False)]
    assert [e.arch for e in found.stages[0].result.evaluations] == grid


def test_what_failed_does_not_go_on(search: InProcess, tmp_path: Path) -> None:
    found = funnel(tmp_path, 40, 10, 3, functions=(fails_for_the_best, better, best))
    first = found.stages[0]
    assert first.result.counts["failed"] > 0
    assert len(first.survivors) == 10
    assert all(cheap(None, {"arch": e.arch}) <= 0.6 for at in found.stages[1:] for e in at.result.evaluations)


def test_limits_hold_in_every_stage_and_those_on_accuracy_in_the_last(search: InProcess, tmp_path: Path) -> None:
    found = funnel(tmp_path, 30, 8, 4, constraints=["params <= 9e3", "accuracy >= 0.55"])
    assert all(e.metrics["params"] <= 9000 for at in found.stages for e in at.result.evaluations)
    assert min(e.metrics["accuracy"] for e in found.stages[0].result.evaluations) < 0.55
    assert len(found.stages[1].result.evaluations) == 8
    assert all(e.metrics["accuracy"] >= 0.55 for e in found.stages[2].survivors)
    assert found.best().metrics["accuracy"] >= 0.55


def test_a_stages_own_limits_and_objectives(search: InProcess, tmp_path: Path) -> None:
    stages = [
        FunnelStage(cheap, n=30, objectives="min:accuracy", constraints="accuracy >= 0.3"),
        FunnelStage(best, n=5),
    ]
    config = tune.RunConfig(name="funnel", storage_path=str(tmp_path))
    found = raynas.funnel(SPACE, stages, progress=False, leave_report=False, run_config=config)
    kept = [e.metrics["accuracy"] for e in found.stages[0].survivors]
    above = sorted(a for e in found.stages[0].result.evaluations if (a := e.metrics["accuracy"]) >= 0.3)
    assert kept == above[:5]


def test_several_objectives(search: InProcess, tmp_path: Path) -> None:
    found = funnel(tmp_path, 30, 10, 6, objectives=["accuracy", "min:params"])
    front = found.stages[0].result.pareto_front()
    assert {e.arch for e in front[:10]} <= {e.arch for e in found.stages[0].survivors}
    assert {e.metrics["params"] for e in found.pareto_front()} != {found.best().metrics["params"]}


def test_fewer_than_asked_for_go_on(search: InProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fails_for_most(model: Any, config: Mapping[str, Any]) -> float:
        if config["arch"]["layers.0"] or config["arch"]["layers.1"] > 1:
            raise ValueError("no")
        return 0.5

    found = funnel(tmp_path, 24, 20, 2, functions=(fails_for_most, better, best), progress=True)
    n = len(found.stages[0].survivors)
    assert 2 <= n < 20
    assert len(found.stages[1].result.evaluations) == n
    assert f"{n} architectures (up to 20 were asked for)" in capsys.readouterr().out


@pytest.mark.parametrize("number", [1, 2])
def test_a_stage_that_leaves_nothing_says_why(search: InProcess, tmp_path: Path, number: int) -> None:
    functions = [cheap, better, best]
    functions[number - 1] = always_fails
    with pytest.raises(RaynasError, match=rf"stage {number} of 3 left nothing.*failed.*no luck at all") as caught:
        funnel(tmp_path, 6, 4, 2, functions=functions)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "funnel" / f"{number + 1}-function").exists()


def test_a_last_stage_in_which_all_fails_is_a_search_without_result(search: InProcess, tmp_path: Path) -> None:
    found = funnel(tmp_path, 6, 4, 2, functions=(cheap, better, always_fails))
    with pytest.raises(RaynasError, match=r"no result yet \(2 failed\); the last error: no luck at all"):
        found.best()


def test_the_baseline_goes_through_every_stage(search: InProcess, tmp_path: Path) -> None:
    worst = dict.fromkeys((f"layers.{i}" for i in range(5)), 0)
    found = funnel(tmp_path, 20, 6, 2, baseline=worst, constraints=["params <= 12 * baseline", "accuracy >= baseline"])
    assert [at.result.evaluations[0].arch for at in found.stages] == [Architecture(worst)] * 3
    assert [len(at.result.evaluations) for at in found.stages] == [20, 7, 3]
    assert all(e.metrics["params"] <= 12_000 for at in found.stages for e in at.survivors)


def test_the_baseline_is_given_as_to_a_search(search: InProcess, tmp_path: Path) -> None:
    found = funnel(tmp_path, 4, 2, 1, baseline="default", constraints="params <= 12 * baseline")
    assert all(at.result.evaluations[0].arch == found.stages[0].result.space.default for at in found.stages)
    with pytest.raises(ValueError, match="--baseline default"):
        funnel(tmp_path / "none", 4, 2, 1, constraints="params <= 12 * baseline")


# --- resume and extension --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_before", [0, 1, 7, 12, 13, 17, 18, 19])
def test_goes_on_as_if_nothing_had_happened(search: InProcess, tmp_path: Path, n_before: int) -> None:
    """12, 6 and 2 trials: killed in the first, at its end, in the second, at its end, and in the last."""
    whole = funnel(tmp_path / "whole", 12, 6, 2)
    search.scored.clear()
    search.n_left = n_before
    first = funnel(tmp_path / "parts", 12, 6, 2)
    assert first.interrupted
    search.n_left = 10_000
    found = funnel(tmp_path / "parts", 12, 6, 2)
    assert not found.interrupted
    assert [at.result.evaluations for at in found.stages] == [at.result.evaluations for at in whole.stages]
    assert set(search.scored.values()) == {1}
    assert (tmp_path / "parts/funnel/funnel.json").read_text() == (tmp_path / "whole/funnel/funnel.json").read_text()


def test_an_unfinished_funnel_has_no_result_yet(search: InProcess, tmp_path: Path) -> None:
    search.n_left = 14
    found = funnel(tmp_path, 12, 6, 2)
    with pytest.raises(RaynasError, match="at stage 2 of 3: the same call goes on"):
        found.best()


@pytest.mark.parametrize("larger", [(12, 6, 4), (12, 9, 3), (30, 6, 2), (40, 12, 4)])
def test_larger_numbers_extend_it_and_score_nothing_twice(
    search: InProcess, tmp_path: Path, larger: tuple[int, ...]
) -> None:
    earlier = funnel(tmp_path, 12, 6, 2)
    found = funnel(tmp_path, *larger)
    assert set(search.scored.values()) == {1}
    for before, at in zip(earlier.stages, found.stages, strict=True):
        n = len(before.result.evaluations)
        assert at.result.evaluations[:n] == before.result.evaluations
    for at, after in zip(found.stages, found.stages[1:], strict=False):
        assert {e.arch for e in at.survivors} <= {e.arch for e in after.result.evaluations}
        assert len(at.survivors) == after.stage.n
    assert found.best().metrics["accuracy"] >= earlier.best().metrics["accuracy"]


def test_an_interrupted_extension_goes_on_too(search: InProcess, tmp_path: Path) -> None:
    for n_left in (12 + 6 + 2, 8, 5, 2):
        search.n_left = n_left
        found = funnel(tmp_path, *((12, 6, 2) if n_left == 20 else (20, 9, 3)))
    while found.interrupted:
        search.n_left = 1
        found = funnel(tmp_path, 20, 9, 3)
    assert set(search.scored.values()) == {1}
    assert len(found.stages[0].result.evaluations) == 20
    assert {e.arch for e in found.stages[1].survivors} <= {e.arch for e in found.stages[2].result.evaluations}


# --- what it tells ---------------------------------------------------------------------------------------------------


def test_says_what_happens_stage_by_stage(
    search: InProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    funnel(tmp_path, 12, 6, 2, progress=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == ("Stage 1 of 3, function cheap: 12 by RandomSearch, ranked by max:accuracy; the best 6 go on")
    assert lines[1].startswith("Stage 1 of 3 done: 12 in, 12 finished; spent 12 epochs, 24 s; best accuracy 0.")
    assert lines[1].endswith("; 6 go on")
    assert lines[2] == ("Stage 2 of 3, function better: 6 architectures, ranked by max:accuracy; the best 2 go on")
    assert lines[4].startswith("  the score before against this one: ") and "(n = 6), it" in lines[4]
    assert lines[-1] == "  the score before against this one: unknown (n = 2), cannot be told"


def test_the_correlation_is_of_the_survivors_scores(search: InProcess, tmp_path: Path) -> None:
    found = funnel(tmp_path, 40, 20, 5)
    first, second, third = (at.correlation for at in found.stages)
    assert first is None and second is not None and third is not None
    archs = [e.arch for e in found.stages[1].result.evaluations]
    x, y = ([fn(None, {"arch": arch}) for arch in archs] for fn in (cheap, better))
    assert second == raynas.funnels.rank_correlation(x, y)
    assert (second.n, third.n) == (20, 5)


def test_a_score_that_tells_nothing_and_one_that_misleads(search: InProcess, tmp_path: Path) -> None:
    def noise(model: Any, config: Mapping[str, Any]) -> float:
        return hash(tuple(config["arch"].values())[:5]) % 1000 / 1000

    def worse(model: Any, config: Mapping[str, Any]) -> float:
        return 1 - cheap(model, config)

    nothing = funnel(tmp_path / "nothing", 60, 40, functions=(noise, best)).stages[1].correlation
    misled = funnel(tmp_path / "misled", 60, 40, functions=(worse, best)).stages[1].correlation
    assert nothing is not None and nothing.verdict == "it may have told nothing"
    assert misled is not None and misled.verdict == "it misled"


def test_leaves_a_summary_as_text_json_and_plot(
    search: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "draw", draw)
    found = funnel(tmp_path, 12, 6, 2)
    folder = tmp_path / "funnel"
    text = (folder / "funnel.txt").read_text().splitlines()
    assert " ".join(text[0].split()) == "stage in finished on epochs time ranked by best rank corr."
    assert text[1].split()[:6] == ["1", "function", "12", "12", "6", "12"]
    assert "which were chosen by the earlier score" in " ".join(text)
    told = json.loads((folder / "funnel.json").read_text())
    assert [stage["asked"] for stage in told["stages"]] == [12, 6, 2]
    assert [s["key"] for s in told["stages"][0]["survivors"]] == [e.arch.key for e in found.stages[0].survivors]
    assert told["stages"][1]["rank_correlation"]["n"] == 6
    assert told["stages"][0]["rank_correlation"] is None
    assert told["stages"][2]["best"]["key"] == found.best().arch.key
    assert (folder / "funnel.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_frame_of_all_stages(search: InProcess, tmp_path: Path) -> None:
    frame = funnel(tmp_path, 12, 6, 2).to_frame()
    assert list(frame["stage"].value_counts(sort=False)) == [12, 6, 2]
    assert {"accuracy", "arch/layers.0"} <= set(frame.columns)


# --- settings --------------------------------------------------------------------------------------------------------


def test_bad_stages_are_refused(search: InProcess, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"at least two stages, got 1: raynas.search is for one"):
        funnel(tmp_path, 5, functions=(best,))
    with pytest.raises(ValueError, match=r"stage 2 of a funnel can have at most the 5 of stage 1, got 6"):
        funnel(tmp_path, 5, 6, functions=(cheap, best))
    stages = [FunnelStage(cheap, n=5), FunnelStage(Training(), n=3, objectives="max:reward")]
    with pytest.raises(UnknownNameError, match="unknown metric 'reward'"):
        raynas.funnel(SPACE, stages, run_config=tune.RunConfig(storage_path=str(tmp_path)))
    stages = [FunnelStage(cheap, n=5), FunnelStage(ZeroCost(), n=3, constraints="accuracy >= 0.5")]
    with pytest.raises(RaynasError, match="metric 'accuracy' is wanted"):
        raynas.funnel(SPACE, stages, run_config=tune.RunConfig(storage_path=str(tmp_path)))
    assert not search.scored
