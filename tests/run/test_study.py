"""A search by propose and observe: from any process, with results and architectures from outside."""

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ray import tune

from raynas.core.archive import Archive
from raynas.errors import ArchiveError, BusyError, InfeasibleError, RaynasError, SettingError, SpaceError
from raynas.run.proposal import Proposal
from raynas.run.study import Study
from raynas.strategies import NSGA2, GaussianProcess, GridSearch, LocalSearch, RandomSearch, Strategy
from raynas.testing import ToySpace, run_trials

SPACE = ToySpace()
OTHER: Mapping[str, Any] = {f"layers.{i}": 2 for i in range(5)}


def score(proposal: Proposal) -> dict[str, float]:
    return {"accuracy": SPACE.accuracy(proposal.arch), "params": SPACE.params(proposal.arch)}


def finish(study: Study, n: int = 1) -> None:
    while proposals := study.propose(n):
        for proposal in proposals:
            study.observe(proposal.trial, score(proposal))


def events(path: Path) -> list[str]:
    return [record["event"] for record in Archive.load(path / "archive.jsonl")]


def test_a_search_to_its_end(tmp_path: Path) -> None:
    study = Study(SPACE, tmp_path, num_samples=25)
    finish(study, 4)
    result = study.result()
    assert study.ended_because == "all 25 proposals were made; num_samples extends them"
    assert len(result.evaluations) == len({e.arch for e in result.evaluations}) == 25
    assert not result.interrupted and result.best().metrics["accuracy"] > 0.9
    assert events(tmp_path).count("session") == 1
    finish(Study(SPACE, tmp_path, num_samples=27))
    assert events(tmp_path).count("ended") == 27 and events(tmp_path).count("session") == 2


@pytest.mark.parametrize("strategy", [GridSearch(), NSGA2(n_initial=4), LocalSearch(n_initial=3)], ids=repr)
def test_several_processes_make_the_search_that_one_would_make(strategy: Strategy, tmp_path: Path) -> None:
    """Strategies with a state reach it by a replay, whichever process asks."""
    alone = run_trials(strategy.for_budget(24).searcher(SPACE, costs={}), SPACE.result, 24)
    studies = [Study(SPACE, tmp_path, strategy, num_samples=24) for _ in range(3)]
    made = []
    for n in range(24):
        (proposal,) = studies[n % 3].propose()
        studies[(n + 1) % 3].observe(proposal.trial, score(proposal))
        made.append(proposal.config)
    assert made == alone


def test_the_next_proposal_follows_from_the_archive_alone(tmp_path: Path) -> None:
    finish(Study(SPACE, tmp_path / "a", GaussianProcess(), num_samples=12))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "archive.jsonl").write_bytes((tmp_path / "a" / "archive.jsonl").read_bytes())
    both = [Study(SPACE, tmp_path / name, GaussianProcess(), num_samples=20).propose(3) for name in "ab"]
    assert both[0] == both[1] and len(both[0]) == 3


def test_nothing_is_proposed_twice_where_several_ask_at_once(tmp_path: Path) -> None:
    made: list[Proposal] = []

    def ask() -> None:
        study = Study(SPACE, tmp_path, RandomSearch(), num_samples=40)
        for _ in range(5):
            made.extend(study.propose(2))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == len({p.arch for p in made}) == len({p.trial for p in made}) == 40
    assert len(Study(SPACE, tmp_path, RandomSearch(), num_samples=40).open) == 40


def test_who_holds_the_archive_is_waited_for(tmp_path: Path) -> None:
    holder = Archive(tmp_path / "archive.jsonl")
    with pytest.raises(BusyError, match="another search is writing"):
        Study(SPACE, tmp_path, wait_seconds=0.05).propose()
    threading.Timer(0.1, holder.close).start()
    assert len(Study(SPACE, tmp_path).propose()) == 1


def test_an_architecture_from_outside_is_booked_like_any_other(tmp_path: Path) -> None:
    study = Study(SPACE, tmp_path, GridSearch(), num_samples=8)
    (first,) = study.propose()
    evaluation = study.observe(OTHER, {"accuracy": 0.6})
    assert evaluation.trial == "00002" and dict(evaluation.arch) == OTHER and evaluation.ok
    added = study.add({**OTHER, "layers.1": 3})
    assert added.outside and [p.trial for p in study.open] == [first.trial, added.trial]
    assert study.observe({**OTHER, "layers.1": 3}, {"accuracy": 0.7}).trial == added.trial
    study.observe(first.trial, score(first))
    again = Study(SPACE, tmp_path, GridSearch(), num_samples=8)
    finish(again)
    assert [dict(e.arch)["layers.4"] for e in again.result().evaluations[3:]] == [1, 2, 3, 0, 1], "the order of a grid"
    assert events(tmp_path).count("session") == 1, "what is from outside is no change of the strategy"
    for known in (OTHER, again.result().evaluations[-1].arch):
        with pytest.raises(SpaceError, match="was evaluated already"):
            study.observe(known, {"accuracy": 0.5})


@pytest.mark.parametrize(
    ("arch", "reason"),
    [
        ({}, "lacks decision"),
        ({**OTHER, "layers.9": 1}, "no decision 'layers.9'"),
        ({**OTHER, "layers.0": 7}, "cannot be 7"),
        ({**OTHER, "layers.0": True}, "cannot be True"),
        ({**OTHER, "head": "linear"}, "decision 'head' is not active"),
        ({"arch": dict(OTHER), "lr": 0.1}, "no hyperparameter 'lr'"),
        ({"arch": [1]}, "no architecture under 'arch'"),
        ([1, 2], "must be a mapping"),
    ],
)
def test_what_is_no_architecture_is_refused(arch: Any, reason: str, tmp_path: Path) -> None:
    study = Study(SPACE, tmp_path)
    for call in (study.add, lambda a: study.observe(a, {"accuracy": 0.5})):
        with pytest.raises(RaynasError, match=reason):
            call(arch)
    assert "proposed" not in events(tmp_path)


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ({"metrics": {"accuracy": float("nan")}}, "must be a finite number"),
        ({"metrics": {"accuracy": "0.5"}}, "must be a finite number"),
        ({"metrics": {"accuracy": True}}, "must be a finite number"),
        ({"metrics": {"loss": 0.5}}, "metric 'accuracy' is wanted"),
        ({"metrics": {"accuracy": 0.5, "a b": 1}}, "the name of a metric"),
        ({"metrics": {"accuracy": 0.5, "pid": 1}}, "keeps for itself"),
        ({"metrics": [0.5]}, "numbers by name"),
        ({}, "metric 'accuracy' is wanted"),
        ({"metrics": {"accuracy": 0.5}, "fidelity": -1}, "fidelity"),
        ({"metrics": {"accuracy": 0.5}, "fidelity": 10**10}, "fidelity"),
        ({"metrics": {"accuracy": 0.5}, "notes": {"a": "x" * 20_000}}, "at most"),
    ],
)
def test_what_is_no_result_is_refused(result: Any, reason: str, tmp_path: Path) -> None:
    study = Study(SPACE, tmp_path)
    (proposal,) = study.propose()
    with pytest.raises(RaynasError, match=reason):
        study.observe(proposal.trial, **result)
    assert [p.trial for p in study.open] == [proposal.trial]


def test_a_result_is_of_an_open_trial(tmp_path: Path) -> None:
    study = Study(SPACE, tmp_path)
    (proposal,) = study.propose()
    for name in ("00002", "-1", "../00001", ""):
        with pytest.raises(SettingError, match=f"there is no trial '{name}'; open are 00001"):
            study.observe(name, {"accuracy": 0.5})
    study.observe(proposal.trial, {"accuracy": 0.5}, fidelity=3, notes={"host": "a"})
    with pytest.raises(SettingError, match="has its result already; open are none"):
        study.observe(proposal.trial, {"accuracy": 0.6})
    (evaluation,) = study.result().evaluations
    assert (evaluation.metrics, evaluation.fidelity, evaluation.notes) == ({"accuracy": 0.5}, 3, {"host": "a"})


def test_a_failure_is_observed_as_one(tmp_path: Path) -> None:
    study = Study(SPACE, tmp_path, RandomSearch())
    (proposal,) = study.propose()
    evaluation = study.observe(proposal.trial, error="out\nof memory")
    assert not evaluation.ok and evaluation.error == "out of memory"
    assert study.propose()[0].arch != proposal.arch


def test_limits_on_costs_hold_for_all(tmp_path: Path) -> None:
    class Sized(ToySpace):
        def build(self, arch: Any) -> Any:
            from torch import nn

            return nn.Linear(int(self.params(arch)) // 1000, 1)

    study = Study(Sized(), tmp_path, RandomSearch(), constraints="params <= 8", num_samples=9)
    costs = [p.costs["params"] for p in study.propose(9)]
    assert len(costs) == 9 and max(costs) <= 8
    with pytest.raises(InfeasibleError, match=r"is refused: params = 12, required params <= 8"):
        study.observe(OTHER, {"accuracy": 0.5})
    assert len(study.open) == 9


def test_several_objectives_and_hyperparameters(tmp_path: Path) -> None:
    study = Study(
        SPACE,
        tmp_path,
        NSGA2(n_initial=4),
        objectives=["accuracy", "min:seconds"],
        hyperparameters={"lr": tune.uniform(0.0, 1.0), "epochs": 3},
        num_samples=12,
    )
    while proposals := study.propose():
        for p in proposals:
            assert p.config["epochs"] == 3
            study.observe(p.trial, {**score(p), "seconds": p.config["lr"]})
    outside = study.observe({"arch": OTHER, "lr": 0.25, "epochs": 3}, {"accuracy": 0.5, "seconds": 1.0})
    assert outside.hyperparameters == {"lr": 0.25, "epochs": 3}
    with pytest.raises(SpaceError, match="'epochs' is 3, not 4"):
        study.add({"arch": OTHER, "lr": 0.5, "epochs": 4})
    assert len(study.result().pareto_front()) > 1


def test_a_strategy_can_be_switched_on_the_same_archive(tmp_path: Path) -> None:
    finish(Study(SPACE, tmp_path, RandomSearch(), num_samples=10))
    strategies = [LocalSearch(n_initial=3), GaussianProcess()]
    for n, strategy in zip((16, 20), strategies, strict=True):
        study = Study(SPACE, tmp_path, strategy, num_samples=n)
        finish(study)
        found = study.result().evaluations
        assert len({e.arch for e in found}) == len(found) == n
    names = [record["strategy"].partition("(")[0] for record in study.result().archive.events("session")]
    assert names == ["RandomSearch", "LocalSearch", "GaussianProcess"]
    assert study.result().best().metrics["accuracy"] > 0.8


def test_an_archive_of_another_search_is_refused(tmp_path: Path) -> None:
    finish(Study(SPACE, tmp_path, num_samples=2))
    for other in (Study(ToySpace(n_layers=4), tmp_path), Study(SPACE, tmp_path, objectives="min:loss")):
        with pytest.raises(ArchiveError, match="holds a search with"):
            other.propose()


def test_a_strategy_learns_from_another_archive(tmp_path: Path) -> None:
    """As a warm start: what the other search found is near, and may be evaluated again."""
    finish(Study(SPACE, tmp_path / "first", RandomSearch(), num_samples=30), 30)
    plan: dict[str, Any] = {"num_samples": 6, "warm_start": [tmp_path / "first"]}
    study = Study(SPACE, tmp_path / "second", GaussianProcess(), **plan)
    finish(study)
    cold = Study(SPACE, tmp_path / "third", GaussianProcess(), num_samples=6)
    finish(cold)
    assert study.result().best().metrics["accuracy"] > cold.result().best().metrics["accuracy"]
    assert len(study.result().evaluations) == 6
    (tmp_path / "first" / "archive.jsonl").unlink()
    assert events(tmp_path / "second").count("imported") == 30
    finish(Study(SPACE, tmp_path / "second", GaussianProcess(), num_samples=7))
    with pytest.raises(ArchiveError, match="is of another space than this search: trial 00001"):
        Study(ToySpace(n_layers=4), tmp_path / "fourth", warm_start=[tmp_path / "third"]).propose()


def test_a_proposal_is_plain(tmp_path: Path) -> None:
    (proposal,) = Study(SPACE, tmp_path).propose()
    assert json.loads(json.dumps(proposal.config)) == proposal.config == {"arch": dict(proposal.arch)}
