from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from ray import tune

from raynas.core.archive import Archive
from raynas.core.goal import Goal
from raynas.core.joint_space import JointSpace
from raynas.core.space import SearchSpace
from raynas.errors import ArchiveError
from raynas.run.identity import Identity
from raynas.run.on_change import OnChange
from raynas.run.run_settings import RunSettings
from raynas.run.session import start_session
from raynas.testing import ToySpace
from raynas.trials import Function
from raynas.trials.settings import TrialSettings

RUN = frozenset(("on_change", "retry_failed"))
SPACE = ToySpace(n_layers=2, n_options=3)
BASELINE = {"layers.0": 1, "layers.1": 1}
RELATIVE = Goal.parse("accuracy", ["params <= 0.9 * baseline", "accuracy >= baseline", "params <= 5000"])


def score(model: object, config: Mapping[str, object]) -> float:
    return 0.5


def another(model: object, config: Mapping[str, object]) -> float:
    return 0.6


def start(
    archive: Archive,
    space: SearchSpace = SPACE,
    goal: Goal = RELATIVE,
    settings: TrialSettings | None = None,
    **choices: Any,
) -> None:
    identity = Identity.of(space, goal, settings or Function(fn=score))
    facts: dict[str, Any] = {"seed": 3, "baseline": {"params": 1.0}}
    run = {name: value for name, value in choices.items() if name in RUN}
    start_session(
        archive, identity, RunSettings(**run), {**facts, **{n: v for n, v in choices.items() if n not in RUN}}
    )


@pytest.fixture
def archive() -> Archive:
    """One trial that finished, one that failed, one that was running when the session ended, at epoch 2."""
    archive = Archive()
    start(archive)
    for trial in "123":
        archive.append("proposed", trial=trial, config={"arch": BASELINE}, costs={})
    ended = {"fidelity": 1, "metrics": {"accuracy": 0.5}, "error": ""}
    archive.append("result", trial="3", fidelity=2, metrics={})
    archive.append("ended", trial="1", status="finished", **ended)
    archive.append("ended", trial="2", status="failed", **ended)
    return archive


@pytest.fixture
def fruitless(archive: Archive) -> Archive:
    """The same without the one that finished."""
    archive._records = [record for record in archive if record.get("trial") != "1"]
    return archive


def test_the_same_search_continues_with_other_facts(archive: Archive) -> None:
    start(archive, seed=4)
    first, second = archive.events("session")
    assert (first["seed"], second["seed"]) == (3, 4)
    assert first["constraints"] == ["params <= 0.9 * baseline", "accuracy >= 1 * baseline", "params <= 5000"]
    assert first["objectives"] == ["max:accuracy"]
    assert list(archive.unfinished()) == ["3"]


OTHERS: list[tuple[str, SearchSpace, Goal]] = [
    ("space", ToySpace(n_layers=3), RELATIVE),
    ("space", JointSpace(SPACE, {"epochs": 3}), RELATIVE),
    ("objectives", SPACE, Goal.parse("min:loss", RELATIVE.constraints)),
    ("constraints", SPACE, Goal()),
]


@pytest.mark.parametrize(("what", "space", "goal"), OTHERS)
@pytest.mark.parametrize("on_change", ["refuse", "continue", "warm_start"])
def test_another_search_is_refused(
    archive: Archive, what: str, space: SearchSpace, goal: Goal, on_change: OnChange
) -> None:
    with pytest.raises(ArchiveError, match=rf"holds a search with {what} .*choose another name"):
        start(archive, space, goal, on_change=on_change)
    assert len(archive.events("session")) == 1


@dataclass(frozen=True)
class Inheriting(ToySpace):
    """Its networks inherit weights."""

    weights: str = "a" * 16

    @property
    def weights_fingerprint(self) -> str:
        return self.weights


@pytest.mark.parametrize("domains", [{}, {"lr": tune.uniform(0, 1)}])
def test_other_weights_are_named(archive: Archive, domains: dict[str, Any]) -> None:
    def joined(space: SearchSpace) -> SearchSpace:
        return JointSpace(space, domains) if domains else space

    given = Identity.of(joined(Inheriting()), RELATIVE, Function(fn=score)).space
    archive._records[0] = {**archive._records[0], "space": given}
    start(archive, joined(Inheriting()), on_change="continue")
    with pytest.raises(ArchiveError, match="began with other weights of Inheriting: load the same ones"):
        start(archive, joined(Inheriting(weights="b" * 16)), on_change="continue")
    with pytest.raises(ArchiveError, match="holds a search with space Inheriting"):
        start(archive, joined(Inheriting(n_layers=7)), on_change="continue")


@pytest.mark.parametrize(("what", "space", "goal"), OTHERS)
def test_a_session_without_a_result_binds_nobody(fruitless: Archive, what: str, space: SearchSpace, goal: Goal) -> None:
    start(fruitless, space, goal)
    assert len(fruitless.events("session")) == (1 if what == "space" else 2)
    # Trials of another space cannot go on; those of another goal can.
    assert list(fruitless.unfinished()) == ([] if what == "space" else ["3"])


def test_other_trials_are_refused_in_one_line_with_the_choices(archive: Archive) -> None:
    with pytest.raises(ArchiveError) as refusal:
        start(archive, settings=Function(fn=another, epochs=3))
    message = str(refusal.value)
    assert "holds 1 evaluation made otherwise: " in message
    assert "the trainable was Function(fn='tests.run.test_session:score')" in message
    assert "the source of another in test_session.py is new" in message
    assert all(choice in message for choice in ("on_change=continue", "on_change=warm_start", "another name"))
    assert len(archive.events("session")) == 1 and list(archive.unfinished()) == ["3"]


def test_go_on_tries_failed_trials_again(archive: Archive) -> None:
    start(archive, settings=Function(fn=another), on_change="continue")
    assert list(archive.unfinished()) == ["2", "3"]
    assert [e.trial for e in archive.evaluations] == ["1"]
    assert len(archive.events("result")) == 1, "what was trained in part continues from its checkpoint"
    start(archive, settings=Function(fn=another))
    with pytest.raises(ArchiveError):
        start(archive)


def test_a_warm_start_counts_nothing(archive: Archive) -> None:
    start(archive, settings=Function(fn=another), on_change="warm_start")
    assert archive.evaluations == [] and archive.unfinished() == {}
    assert [(e.trial, e.status) for e in archive.earlier_evaluations] == [("1", "finished"), ("2", "failed")]
    archive.append("proposed", trial="4", config={"arch": BASELINE}, costs={})
    start(archive, settings=Function(fn=another), on_change="warm_start")
    assert list(archive.unfinished()) == ["4"], "the same command again goes on with it"


def test_without_a_result_a_change_starts_all_again(fruitless: Archive) -> None:
    start(fruitless, settings=Function(fn=another))
    assert list(fruitless.unfinished()) == ["2", "3"]
    assert fruitless.events("result") == [], "half of a training by other code is none"


def test_failed_trials_are_tried_again_if_asked(archive: Archive) -> None:
    start(archive)
    assert list(archive.unfinished()) == ["3"]
    start(archive, retry_failed=True)
    assert list(archive.unfinished()) == ["2", "3"]
