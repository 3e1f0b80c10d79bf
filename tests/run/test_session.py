from collections.abc import Mapping
from pathlib import Path

import pytest

from raynas.core.archive import Archive
from raynas.core.goal import Goal
from raynas.core.joint_space import JointSpace
from raynas.core.space import SearchSpace
from raynas.errors import ArchiveError
from raynas.run.session import start_session
from raynas.testing import ToySpace
from raynas.trials import Function
from raynas.trials.settings import TrialSettings

SPACE = ToySpace(n_layers=2, n_options=3)
RELATIVE = Goal.parse("accuracy", ["params <= 0.9 * baseline", "accuracy >= baseline", "params <= 5000"])


def score(model: object, config: Mapping[str, object]) -> float:
    return 0.5


def another(model: object, config: Mapping[str, object]) -> float:
    return 0.5


def start(
    archive: Archive, space: SearchSpace = SPACE, goal: Goal = RELATIVE, settings: TrialSettings | None = None
) -> None:
    start_session(archive, space, goal, settings or Function(fn=score), seed=3, baseline={"params": 1.0})


def test_the_same_search_continues_with_other_facts() -> None:
    archive = Archive()
    start(archive)
    archive.append("proposed", trial="1")
    start_session(archive, SPACE, RELATIVE, Function(fn=score), seed=4)
    first, second = archive.events("session")
    assert (first["seed"], second["seed"]) == (3, 4)
    assert first["constraints"] == ["params <= 0.9 * baseline", "accuracy >= 1 * baseline", "params <= 5000"]
    assert first["objectives"] == ["max:accuracy"]


@pytest.mark.parametrize(
    ("what", "space", "goal", "fn"),
    [
        ("space", ToySpace(n_layers=3), RELATIVE, score),
        ("space", JointSpace(SPACE, {"epochs": 3}), RELATIVE, score),
        ("objectives", SPACE, Goal.parse("min:loss", RELATIVE.constraints), score),
        ("constraints", SPACE, Goal(), score),
        ("trainable", SPACE, RELATIVE, another),
    ],
)
def test_another_search_is_refused(what: str, space: SearchSpace, goal: Goal, fn: object, tmp_path: Path) -> None:
    with_trials, without = Archive(tmp_path / "with"), Archive(tmp_path / "without")
    for archive in (with_trials, without):
        start(archive)
    with_trials.append("proposed", trial="1")
    with_trials.append("ended", trial="1")
    settings = Function(fn=fn)  # type: ignore[arg-type]
    with pytest.raises(ArchiveError, match=rf"holds a search with {what} .*choose another name"):
        start(with_trials, space, goal, settings)
    start(without, space, goal, settings)
    for archive in (with_trials, without):
        archive.close()


def test_a_goal_can_be_corrected_before_a_trial_has_ended() -> None:
    archive = Archive()
    start(archive)
    archive.append("proposed", trial="1")
    start(archive, goal=Goal.parse("min:loss"))
    assert archive.events("session")[-1]["objectives"] == ["min:loss"]
    with pytest.raises(ArchiveError, match="holds a search with trainable"):
        start(archive, settings=Function(fn=another))
