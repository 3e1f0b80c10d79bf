import errno
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.tune.search import Searcher

from raynas.core.architecture import Architecture
from raynas.core.archive import Archive
from raynas.core.evaluation import Evaluation
from raynas.core.searcher import ArchitectureSearcher
from raynas.errors import ArchiveError
from raynas.strategies import GridSearch, RandomSearch, RegularizedEvolution
from raynas.testing import run_trials
from tests.core.scripted import SPACE, WAIT, A, B, C, D, Scripted, config, saw, score


def test_replay_records_nothing_and_counts() -> None:
    first = Scripted([A, D, B], "params <= 2000", costs={"params": SPACE.params})
    run_trials(first, lambda c: score(0.5), 2)
    again = Scripted([A, D, B], "params <= 2000", costs={"params": SPACE.params}, archive=first.archive)
    n_records = len(first.archive)
    again.replay(first.archive)
    assert len(first.archive) == n_records
    assert again.n_replayed_exactly == 2
    assert saw(again) == saw(first) == [(A, "finished"), (D, "failed"), (B, "finished")]
    assert again.evaluation_of("00002") == first.evaluation_of("00002")


def test_what_was_measured_stays_measured() -> None:
    """A latency measured again could refuse what was accepted, and accept what was refused."""
    latencies = {A: 1.0, B: 9.0, C: 2.0}
    first = Scripted([A, B, C], "latency_ms <= 5", costs={"latency_ms": latencies.__getitem__})
    assert [first.suggest("1"), first.suggest("2")] == [config(A), config(C)]
    measured: list[Architecture] = []
    costs = {"latency_ms": lambda a: measured.append(a) or 3.0}  # type: ignore[func-returns-value]
    again = Scripted([A, B, C, B], "latency_ms <= 5", costs=costs)
    again.replay(first.archive)
    assert again.running == [A, C]
    again.on_trial_complete("1", score(0.5))
    again.on_trial_complete("2", score(0.5))
    assert [e.metrics["latency_ms"] for e in again.seen] == [9.0, 1.0, 2.0]
    assert again.suggest("3") == Searcher.FINISHED, "B is still refused"
    assert measured == []
    changed = Scripted([B, A], "latency_ms <= 5", costs=costs, archive=first.archive)
    changed.replay(first.archive)
    assert changed.suggest("3") is None, "B is refused, A is running"
    assert len(first.archive.events("refused")) == 1


def test_replay_keeps_the_order_of_what_was_seen() -> None:
    """A proposal that led to nothing but waiting drew random numbers and showed a duplicate, at its time."""
    script = [A, B, A, WAIT, C]
    first = Scripted(script)
    first.suggest("1"), first.suggest("2")
    first.on_trial_complete("1", score(0.5))
    assert first.suggest("3") is None
    first.on_trial_complete("2", score(0.5))
    first.suggest("3")
    again = Scripted(script)
    again.replay(first.archive)
    assert saw(again) == saw(first) == [(A, "finished"), (A, "finished"), (B, "finished")]
    assert again.n_replayed_exactly == 3 and again.running == [C]


def test_a_changed_search_is_a_warm_start() -> None:
    first = Scripted([A, B])
    run_trials(first, lambda c: score(0.5), 2)
    again = Scripted([A, C, D, B], archive=first.archive)
    again.replay(first.archive)
    assert again.n_replayed_exactly == 1
    assert saw(again) == [(A, "finished"), (B, "finished")]
    configs = run_trials(again, lambda c: score(0.5), 4)
    assert configs == [config(A), config(B), config(C), config(D)], "C was proposed during the replay and not lost"


def test_grid_takes_over_without_gaps() -> None:
    earlier = RandomSearch().searcher(SPACE, costs={})
    run_trials(earlier, SPACE.result, 5)
    grid = GridSearch().searcher(SPACE, costs={}, archive=earlier.archive)
    grid.replay(earlier.archive)
    configs = run_trials(grid, SPACE.result, 100)
    assert {SPACE.from_config(c) for c in configs} == set(SPACE.enumerate())


def test_a_replay_leaves_no_reason_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    first = RandomSearch().searcher(SPACE, costs={})
    run_trials(first, SPACE.result, 3)
    again = Scripted([], archive=first.archive)
    again.replay(first.archive)
    assert again.ended_because == ""


def test_a_record_that_is_lost_ends_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tune goes on for a while after an exception; what it does then must not look as if the record were whole."""
    script = [A, B, C]
    first = Scripted(script, archive=Archive(tmp_path / "archive"))
    first.suggest("1")
    with monkeypatch.context() as patch, pytest.raises(ArchiveError, match="No space left"):
        patch.setattr("os.fsync", _no_space)
        first.on_trial_complete("1", score(0.5))
    with pytest.raises(ArchiveError, match="No space left"):
        first.suggest("2")
    first.archive.close()
    again = Scripted(script)
    again.replay(Archive.load(tmp_path / "archive"))
    assert (again.running, again.seen, again.n_replayed_exactly) == ([A], [], 1)


def _no_space(descriptor: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_running_trials_survive_a_replay() -> None:
    first = Scripted([A, B])
    first.suggest("1"), first.suggest("2")
    again = Scripted([A, B, C])
    again.replay(first.archive)
    assert again.running == [A, B]
    again.on_trial_complete("2", score(0.5))
    assert again.evaluation_of("2") == Evaluation(B, {"accuracy": 0.5}, trial="2")
    assert again.suggest("3") == config(C)


def test_tune_saves_and_restores_in_a_folder(tmp_path: Path) -> None:
    first = RegularizedEvolution(population_size=2, tournament_size=1).searcher(SPACE, costs={})
    run_trials(first, SPACE.result, 5)
    first.save_to_dir(str(tmp_path), "session")
    again = RegularizedEvolution(population_size=2, tournament_size=1).searcher(SPACE, costs={})
    again.restore_from_dir(str(tmp_path))
    assert list(again.archive) == list(first.archive)
    assert again.suggest("next") == first.suggest("next")


def test_a_session_after_a_warm_start_is_lived_through_again() -> None:
    """Another strategy took over, and was killed: what it did itself is replayed exactly."""
    first = Scripted([A])
    run_trials(first, lambda c: score(0.5), 1)
    archive = first.archive
    script = [B, C, D]
    second = Scripted(script, archive=archive)
    archive.append("session")
    second.replay(archive)
    for trial in ("2", "3"):
        second.suggest(trial)
    second.on_trial_complete("2", score(0.5))
    third = Scripted(script)
    archive.append("session")
    third.replay(archive)
    assert (third.running, third.n_asked) == (second.running, second.n_asked)
    assert third.suggest("4") == second.suggest("4") == config(D)


def test_of_a_trial_that_began_again_only_the_last_end_is_seen() -> None:
    first = Scripted([A, B, C])
    run_trials(first, lambda c: {"failed": 1, "error": "a bug"}, 2)
    first.archive.retry(["00001"])
    again = Scripted([A, B, C], archive=first.archive)
    first.archive.append("session")
    again.replay(first.archive)
    assert again.running == [A] and saw(again) == [(B, "failed")]
    again.on_trial_complete("00001", score(0.5))
    assert saw(again) == [(B, "failed"), (A, "finished")]
    assert again.suggest("3") == config(C)


# --- anything goes ----------------------------------------------------------------------------------------------------

RESULTS = st.sampled_from([None, {}, score(math.nan), score(0.1), score(0.5, 7), score(0.9, complete=False), {"x": 1}])
STEPS = st.lists(
    st.one_of(
        st.just(("suggest",)),
        st.tuples(st.just("report"), st.integers(0, 9), RESULTS),
        st.tuples(st.just("end"), st.integers(0, 9), RESULTS, st.booleans()),
    ),
    max_size=40,
)


@given(STEPS, st.integers(0, 3))
def test_any_order_of_calls_is_lived_through_again(steps: list[tuple[Any, ...]], seed: int) -> None:
    strategy = RegularizedEvolution(population_size=3, tournament_size=2, crossover_prob=0.3)

    def fresh(archive: Archive | None = None) -> ArchitectureSearcher:
        constraints = ["params <= 4000", "accuracy >= 0.5 * baseline"]
        costs = {"params": SPACE.params}
        return strategy.searcher(
            SPACE, "accuracy", constraints, seed=seed, costs=costs, baseline=B, points_to_evaluate=[C], archive=archive
        )

    searcher, started, ended = fresh(), 0, False
    for name, *arguments in steps:
        if name == "suggest" and not ended:
            answer = searcher.suggest(str(started))
            ended = answer == Searcher.FINISHED
            started += isinstance(answer, dict)
        elif name == "report":
            searcher.on_trial_result(str(arguments[0]), arguments[1])
        elif name == "end":
            searcher.on_trial_complete(str(arguments[0]), arguments[1], arguments[2])
    archs = [SPACE.from_config(record["config"]) for record in searcher.archive.events("proposed")]
    assert len(archs) == len(set(archs)) == started
    assert all(SPACE.params(a) <= 4000 or a == B for a in archs)
    again = fresh(Archive())
    again.replay(json.loads(json.dumps(list(searcher.archive))))
    assert again.n_replayed_exactly == started
    assert again.running == searcher.running
    assert again.goal == searcher.goal
    if not ended:
        assert again.suggest("next") == searcher.suggest("next")
