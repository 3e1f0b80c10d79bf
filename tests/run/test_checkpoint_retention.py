from pathlib import Path
from types import SimpleNamespace
from typing import Any

from raynas.core.archive import Archive
from raynas.core.measurement import as_entry
from raynas.core.near_ties import share_of
from raynas.core.searcher import ArchitectureSearcher
from raynas.metrics import read_goal
from raynas.run.checkpoint_retention import N_BEST, N_SPARE, KeepBest
from raynas.run.checkpoints import LocalCheckpoints
from raynas.strategies import GridSearch
from raynas.testing import ToySpace

SPACE = ToySpace(n_layers=2, n_options=3)


def new_searcher(archive: Archive | None = None, **goal: Any) -> ArchitectureSearcher:
    return GridSearch().searcher(SPACE, costs={}, archive=archive, **goal)


def checkpoints(folder: Path, n: int = 1) -> None:
    for index in range(n):
        (folder / f"checkpoint_{index:06d}").mkdir(parents=True)


def left(path: Path) -> list[str]:
    return sorted(checkpoint.parent.name for checkpoint in path.glob("*/checkpoint_*"))


def trial(name: str) -> Any:
    return SimpleNamespace(trial_id=name)


def end(searcher: ArchitectureSearcher, name: str, accuracy: float, **more: Any) -> None:
    searcher.suggest(name)
    searcher.on_trial_complete(name, {"accuracy": accuracy, "training_iteration": 1, **more})


def test_a_running_trial_keeps_two(tmp_path: Path) -> None:
    checkpoints(tmp_path / "1", 4)
    KeepBest(new_searcher(), LocalCheckpoints(tmp_path)).on_checkpoint(0, [], trial("1"), None)  # type: ignore[arg-type]
    assert left(tmp_path) == ["1", "1"]


def test_the_best_of_those_that_ended_keep_theirs(tmp_path: Path) -> None:
    searcher = new_searcher()
    keep = KeepBest(searcher, LocalCheckpoints(tmp_path), n_best=2)
    for name, accuracy, more in (("1", 0.5, {}), ("2", 0.9, {}), ("3", 0.7, {}), ("4", 0.99, {"complete": False})):
        checkpoints(tmp_path / name)
        end(searcher, name, accuracy, **more)
        keep.on_trial_complete(0, [], trial(name))
    assert left(tmp_path) == ["2", "3"], "what was stopped early is no candidate"


def test_a_failed_lost_or_unknown_trial(tmp_path: Path) -> None:
    """A trial that was lost has not ended, and continues from its checkpoints."""
    for name in ("failed", "lost", "unknown"):
        checkpoints(tmp_path / name)
    searcher = new_searcher()
    searcher.suggest("lost")
    searcher.suggest("failed")
    searcher.on_trial_complete("failed", error=True)
    keep = KeepBest(searcher, LocalCheckpoints(tmp_path))
    keep.on_trial_error(0, [], trial("failed"))
    keep.on_trial_error(0, [], trial("lost"))
    keep.on_trial_complete(0, [], trial("unknown"))
    assert left(tmp_path) == ["lost", "unknown"]


def test_an_earlier_session_counts(tmp_path: Path) -> None:
    first = new_searcher()
    end(first, "1", 0.9)
    end(first, "2", 0.8)
    second = new_searcher(first.archive)
    second.replay(first.archive)
    keep = KeepBest(second, LocalCheckpoints(tmp_path), n_best=1)
    for name, accuracy in (("1", None), ("3", 0.7)):
        checkpoints(tmp_path / name)
        if accuracy is not None:
            end(second, name, accuracy)
            keep.on_trial_complete(0, [], trial(name))
    assert left(tmp_path) == ["1"]


def test_of_several_objectives_the_best_in_the_first_keeps_its_own(tmp_path: Path) -> None:
    searcher = new_searcher(objectives=["accuracy", "params"])
    keep = KeepBest(searcher, LocalCheckpoints(tmp_path), n_best=1)
    for name, accuracy, params in (("1", 0.5, 1.0), ("2", 0.7, 5.0), ("3", 0.9, 9.0), ("4", 0.8, 8.0)):
        checkpoints(tmp_path / name)
        end(searcher, name, accuracy, params=params)
        keep.on_trial_complete(0, [], trial(name))
    winner = searcher.goal.pareto_front(searcher.archive.evaluations)[0]
    assert winner.trial == "3" and "3" in left(tmp_path) and "4" not in left(tmp_path)


def test_where_a_limit_is_measured_at_the_end_the_next_best_keep_theirs(tmp_path: Path) -> None:
    for limit, n_kept in (("params <= 100", N_BEST), ("latency_ms <= 100", N_BEST + N_SPARE)):
        searcher = GridSearch().searcher(ToySpace(n_layers=3, n_options=3), read_goal("accuracy", limit), costs={})
        folder = tmp_path / limit.split()[0]
        keep = KeepBest(searcher, LocalCheckpoints(folder))
        for number in range(12):
            checkpoints(folder / str(number))
            end(searcher, str(number), number / 100)
            keep.on_trial_complete(0, [], trial(str(number)))
        assert len(left(folder)) == n_kept


def test_what_may_become_the_winner_keeps_theirs(tmp_path: Path) -> None:
    """Within the noise of the best the cheapest wins; as the best rises, that is another one."""
    searcher = new_searcher()
    keep = KeepBest(searcher, LocalCheckpoints(tmp_path), n_best=1)
    for name, n_right, params in (("1", 93, 1), ("2", 94, 2), ("3", 93, 3), ("4", 95, 4), ("5", 96, 5)):
        checkpoints(tmp_path / name)
        accuracy = share_of(n_right, 100)
        end(searcher, name, accuracy, params=params, **as_entry({"accuracy": accuracy}))
        keep.on_trial_complete(0, [], trial(name))
    winner = searcher.goal.best(searcher.archive.evaluations)
    assert winner and winner.trial == "2"
    assert left(tmp_path) == ["2", "4", "5"], "3 is no better than 1, which is cheaper; 1 is beyond the noise of 5"
