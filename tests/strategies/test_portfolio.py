from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from ray import cloudpickle, tune
from torch import nn

import raynas
from raynas.cli.search_command import parse_search
from raynas.core.architecture import Architecture
from raynas.core.archive import Archive
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher
from raynas.core.space import SearchSpace
from raynas.errors import UnknownNameError
from raynas.run.session import first_budget
from raynas.strategies import (
    Asha,
    GaussianProcess,
    GridSearch,
    LocalSearch,
    Portfolio,
    PortfolioStage,
    RandomSearch,
    RegularizedEvolution,
    Strategy,
)
from raynas.strategies.portfolio import PortfolioSearcher
from raynas.testing import ToySpace, run_trials

SPACE = ToySpace()


def searcher(portfolio: Portfolio, **arguments: Any) -> PortfolioSearcher:
    found = portfolio.searcher(SPACE, costs={}, **arguments)
    assert isinstance(found, PortfolioSearcher)
    return found


# --- turns -----------------------------------------------------------------------------------------------------------


def test_ends_by_numbers_and_shares() -> None:
    stages = (PortfolioStage(RandomSearch(), n=10), PortfolioStage(GaussianProcess(), share=0.6), "local")
    assert Portfolio(stages=stages, n_trials=60).ends == [10, 46]
    assert Portfolio(stages=("random 12.5%", "grid 2", "local"), n_trials=80).ends == [10, 12]
    assert Portfolio(stages=("random",)).ends == []


def test_the_default() -> None:
    default = Portfolio()
    assert default == Portfolio(stages=("random 10", "gp 60 %", "local"))
    assert [type(stage.strategy) for stage in default.parsed] == [RandomSearch, GaussianProcess, LocalSearch]
    assert default.for_budget(60).ends == [10, 46]
    assert default.for_budget(60).for_budget(100).ends == [10, 46]


def test_the_first_turn_is_that_strategy_and_then_the_next() -> None:
    """Grid search goes in order and knows nothing, which shows whose turn it is."""
    grid = run_trials(GridSearch().searcher(SPACE, costs={}), SPACE.result, 6)
    found = searcher(Portfolio(stages=("grid 6", "local")))
    configs = run_trials(found, SPACE.result, 7)
    assert configs[:6] == grid
    best = max(map(SPACE.from_config, grid), key=SPACE.accuracy)
    assert SPACE.from_config(configs[6]) in set(SPACE.neighbours(best))


def test_local_search_climbs_from_the_best_of_all_before_it() -> None:
    found = searcher(Portfolio(stages=("random 12", "local")), seed=1)
    configs = [SPACE.from_config(config) for config in run_trials(found, SPACE.result, 16)]
    best = max(configs[:12], key=SPACE.accuracy)
    assert configs[12] in set(SPACE.neighbours(best))


def test_switches_by_what_was_proposed_while_trials_run() -> None:
    found = searcher(Portfolio(stages=("random 4", "grid")))
    first = [found.suggest(str(i)) for i in range(4)]
    assert found.stage == 1
    assert found.suggest("4") == run_trials(GridSearch().searcher(SPACE, costs={}), SPACE.result, 1)[0]
    for i, config in enumerate(first):
        found.on_trial_complete(str(i), SPACE.result(config))
    assert found.stage == 1


def test_duplicates_and_refusals_use_up_no_turn() -> None:
    costs = {"params": SPACE.params}
    found = Portfolio(stages=("random 5", "grid")).searcher(SPACE, constraints="params <= 5e3", costs=costs)
    configs = run_trials(found, SPACE.result, 6)
    assert len(found.archive.events("refused")) > 0
    drawn = RandomSearch().searcher(SPACE, constraints="params <= 5e3", costs=costs)
    assert isinstance(found, PortfolioSearcher) and found.stage == 1
    assert len(run_trials(drawn, SPACE.result, 5)) == 5
    assert configs[5] == run_trials(GridSearch().searcher(SPACE, costs={}), SPACE.result, 1)[0]


class OneIdea(Strategy):
    """Has one architecture to propose and nothing more."""

    def make_searcher(self, space: SearchSpace, goal: Goal, **common: Any) -> ArchitectureSearcher:
        return OneIdeaSearcher(space, goal, **common)


class OneIdeaSearcher(ArchitectureSearcher):
    seen = 0
    running_seen = 0

    def propose(self) -> Architecture | None:
        self.running_seen = max(self.running_seen, len(self.running))
        return Architecture({**dict.fromkeys((f"layers.{i}" for i in range(5)), 1)}) if self.seen == 0 else None

    def observe(self, evaluation: Evaluation) -> None:
        self.seen += 1


def test_who_has_no_more_ideas_hands_on() -> None:
    stages = (PortfolioStage(OneIdea(), n=5), "grid")
    found = searcher(Portfolio(stages=stages))
    configs = run_trials(found, SPACE.result, 4)
    assert configs[1:] == run_trials(GridSearch().searcher(SPACE, costs={}), SPACE.result, 3)
    assert found.stage == 0


def test_every_stage_sees_everything() -> None:
    stages = (PortfolioStage(RandomSearch(), n=3), PortfolioStage(OneIdea(), n=1), "random")
    found = searcher(Portfolio(stages=stages))
    for i in range(3):
        found.suggest(str(i))
    found.suggest("idea")
    inner = found._searchers[1]
    assert isinstance(inner, OneIdeaSearcher) and inner.running_seen == 3
    found.on_trial_complete("0", {"accuracy": 0.5, "training_iteration": 1})
    found.on_trial_complete("idea", {})
    assert inner.seen == 2


def test_stages_know_how_many_trials_there_are() -> None:
    portfolio = Portfolio(stages=("grid 3", "auto"))
    assert isinstance(portfolio.for_budget(10_000).strategies[1], RegularizedEvolution)
    assert isinstance(portfolio.for_budget(50).strategies[1], GaussianProcess)


def test_a_copy_shares_what_runs_with_its_own_stages() -> None:
    found = searcher(Portfolio(stages=("random 1", "local")))
    found.suggest("0")
    copy = cloudpickle.loads(cloudpickle.dumps(found))
    copy.suggest("1")
    assert [len(inner.running) for inner in copy._searchers] == [2, 2]
    assert [len(inner.running) for inner in found._searchers] == [1, 1]


def test_limits_relative_to_a_baseline_reach_every_stage() -> None:
    baseline = dict.fromkeys((f"layers.{i}" for i in range(5)), 1)
    found = searcher(Portfolio(stages=("random 2", "gp")), constraints="params <= baseline", baseline=baseline)
    run_trials(found, SPACE.result, 3)
    assert all(inner.goal.constraints[0].limit == 6000 for inner in found._searchers)
    assert not any(inner.goal.constraints[0].relative for inner in found._searchers)


# --- resume ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_before", [3, 5, 9, 14])
def test_goes_on_as_if_nothing_had_happened_at_and_between_switches(n_before: int) -> None:
    portfolio = Portfolio(stages=("random 5", "gp 4", "optuna 5", "local"))
    whole = run_trials(searcher(portfolio), SPACE.result, 20)
    before = searcher(portfolio)
    run_trials(before, SPACE.result, n_before)
    after = searcher(portfolio, archive=before.archive)
    after.replay(before.archive)
    assert after.n_replayed_exactly == n_before
    assert run_trials(after, SPACE.result, 20) == whole


def test_an_archive_of_another_strategy_counts() -> None:
    archive = Archive()
    known = run_trials(RandomSearch().searcher(SPACE, costs={}, archive=archive, seed=7), SPACE.result, 6)
    found = searcher(Portfolio(stages=("random 4", "local")), archive=archive)
    found.replay(archive)
    best = max(map(SPACE.from_config, known), key=SPACE.accuracy)
    assert found.stage == 1
    found.suggest("the first idea that the archive did not follow")
    found.on_trial_complete("the first idea that the archive did not follow", {})
    assert SPACE.from_config(found.suggest("8")) in set(SPACE.neighbours(best))


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stages", "told"),
    [
        ((), "at least one stage"),
        ("random 10", "must be a sequence"),
        (("random", "local"), "stage 1 of 2 needs n or share"),
        (("random 5", "local 5"), "the last stage takes what is left"),
        (("random 60%", "gp 50%", "local"), "come to at most 1, got 1.1"),
        (("random ten", "local"), "cannot read stage 'random ten'"),
        (("random 2.5", "local"), "cannot read stage 'random 2.5'"),
        (("random 0", "local"), "at least 1, got 0"),
        (("random 100%", "local"), "above 0 and below 1, got 1.0"),
        (("portfolio 5", "local"), "cannot be a stage of another"),
        ((RandomSearch(), "local"), "must be a PortfolioStage or a text"),
    ],
)
def test_settings_are_checked(stages: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Portfolio(stages=stages)


def test_an_unknown_name_is_told() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'random'"):
        Portfolio(stages=("randon 5", "local"))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"strategy": "random"}, "needs a strategy such as"),
        ({"strategy": RandomSearch(early_stopping=Asha())}, "of the whole search"),
        ({"strategy": RandomSearch(), "n": 3, "share": 0.5}, "not both, got 3 and 0.5"),
        ({"strategy": RandomSearch(), "n": 2.0}, "whole number of at least 1, got 2.0"),
        ({"strategy": RandomSearch(), "share": -0.5}, "got -0.5"),
    ],
)
def test_stages_are_checked(settings: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        PortfolioStage(**settings)


def test_shares_need_a_whole() -> None:
    with pytest.raises(ValueError, match="give Portfolio n_trials"):
        searcher(Portfolio())
    with pytest.raises(ValueError, match="n_trials must be at least 1"):
        replace(Portfolio(), n_trials=0)


def test_a_tune_config_knows_how_many() -> None:
    config = Portfolio().tune_config(SPACE, num_samples=60, costs={})
    assert isinstance(config.search_alg, PortfolioSearcher)
    assert config.search_alg._ends == [10, 46]


def test_from_the_command_line(tmp_path: Path) -> None:
    flags = ["--strategy", "portfolio", "--strategy.stages", "random 5", "gp 50%", "local", "--early_stopping", "none"]
    command = parse_search(flags)
    assert command.strategy == Portfolio(stages=("random 5", "gp 50%", "local"))
    (tmp_path / "options.yaml").write_text(command.text)
    again = parse_search(["--config", str(tmp_path / "options.yaml")])
    assert (again.strategy, again.run.name) == (command.strategy, command.run.name)
    (tmp_path / "own.yaml").write_text("strategy:\n  name: portfolio\n  stages:\n    - grid 3\n    - local\n")
    assert parse_search(["--config", str(tmp_path / "own.yaml")]).strategy == Portfolio(
        stages=("grid 3", "local"), early_stopping=Asha()
    )
    with pytest.raises(UnknownNameError, match="did you mean 'random'"):
        parse_search(["--strategy", "portfolio", "--strategy.stages", "randon 5", "local"])


def test_shares_are_of_the_number_that_a_search_began_with() -> None:
    archive = Archive()
    assert first_budget(archive, 40) == 40
    archive.append("session", num_samples=10)  # never got to a trial
    archive.append("session", num_samples=20)
    assert first_budget(archive, 40) == 40
    archive.append("proposed", trial="00001")
    archive.append("session", num_samples=30)
    assert first_budget(archive, 40) == 20


def test_an_extension_is_exact_and_belongs_to_the_last() -> None:
    portfolio = Portfolio(stages=("random 25%", "gp 50%", "local"))
    longer = searcher(portfolio.for_budget(12))
    whole = run_trials(longer, SPACE.result, 24)
    before = searcher(portfolio.for_budget(12))
    run_trials(before, SPACE.result, 12)
    after = searcher(portfolio.for_budget(12), archive=before.archive)
    after.replay(before.archive)
    assert after.stage == 2
    assert run_trials(after, SPACE.result, 24) == whole


def test_in_a_search_that_is_extended(ray_cluster: None, tmp_path: Path) -> None:
    """Shares are of 4 trials also when there are 6 in the end: the first of four is grid search's, the rest follows."""

    def score(model: nn.Module, config: Mapping[str, Any]) -> float:
        return SPACE.accuracy(config["arch"])

    for n in (4, 6):
        result = raynas.search(
            SPACE,
            score,
            Portfolio(stages=("grid 50%", "random 25%", "local")),
            num_samples=n,
            max_concurrent=1,
            progress=False,
            tensorboard=False,
            leave_report=False,
            run_config=tune.RunConfig(storage_path=str(tmp_path), name="search"),
        )
    archs = [e.arch for e in result.evaluations]
    assert archs[:2] == list(islice(SPACE.enumerate(), 2))
    assert len(set(archs)) == 6
    assert [record["strategy"].count("n_trials=4") for record in result.archive.events("session")] == [1, 1]
