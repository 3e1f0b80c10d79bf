"""StrategyContract: tests that every strategy must pass."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pytest
import torch
from ray import cloudpickle, tune
from ray.tune.search import Searcher

from raynas.core.architecture import Config
from raynas.core.searcher import ArchitectureSearcher
from raynas.strategies import RandomSearch, Strategy
from raynas.testing.in_process import run_trials
from raynas.testing.toy_space import ToySpace


class StrategyContract:
    """Tests that every strategy must pass, whatever its algorithm.

    Derive from it and give the strategy, and the limits of its algorithm::

        class TestMyStrategy(StrategyContract):
            @pytest.fixture
            def strategy(self):
                return MyStrategy(population_size=5)

            @pytest.fixture
            def limits(self):
                return {"several objectives": "its acquisition function takes one"}
    """

    space: ToySpace = ToySpace()
    n_trials = 16

    @pytest.fixture
    def strategy(self) -> Strategy:
        """Return the strategy under test; override it. Settings with an initial phase below ten trials test more."""
        raise NotImplementedError("give the strategy to test in a fixture named 'strategy'")

    @pytest.fixture
    def limits(self) -> Mapping[str, str]:
        """Return why it cannot use a "seed", "beat random", take "several objectives" or "continuous" decisions."""
        return {}

    def searcher(self, strategy: Strategy, space: ToySpace | None = None, **arguments: Any) -> ArchitectureSearcher:
        """Make a fresh searcher with no costs but those given."""
        return strategy.searcher(space or self.space, **{"costs": {}, **arguments})

    def run(self, strategy: Strategy, n_trials: int | None = None, **arguments: Any) -> list[Config]:
        """Return the configs of a search from its start."""
        return run_trials(self.searcher(strategy, **arguments), self.space.result, n_trials or self.n_trials)

    def test_proposes_canonical_members(self, strategy: Strategy) -> None:
        """Every config is plain JSON, a member of the space, and free of inactive decisions."""
        configs = self.run(strategy)
        assert len(configs) == self.n_trials
        for config in configs:
            assert json.loads(json.dumps(config)) == config
            assert dict(self.space.from_config(config)) == config["arch"]

    def test_follows_the_seed(self, strategy: Strategy, limits: Mapping[str, str]) -> None:
        """The same seed gives the same search, whatever the global generators do; another one gives another."""
        first = self.run(strategy, seed=3)
        np.random.seed(0)
        torch.manual_seed(0)
        assert self.run(strategy, seed=3) == first
        assert (self.run(strategy, seed=4) == first) == ("seed" in limits)

    def test_tries_each_member_of_a_small_space_once(self, strategy: Strategy) -> None:
        """No trial is repeated, and the search ends when nothing is left."""
        space = ToySpace(n_layers=2, n_options=3)
        searcher = self.searcher(strategy, space)
        configs = run_trials(searcher, space.result, n_trials=1000)
        tried = [space.from_config(config) for config in configs]
        assert len(tried) == len(set(tried)) == space.size == 12
        assert searcher.suggest("one more") == Searcher.FINISHED
        assert searcher.ended_because == "every architecture of the space was tried"

    def test_survives_bad_trials(self, strategy: Strategy) -> None:
        """Trials that raise, say nothing, report NaN, come late, twice, or from nowhere do not stop the search."""
        searcher = self.searcher(strategy)
        assert isinstance(searcher.suggest("late"), dict)
        good = {"accuracy": 0.5, "training_iteration": 1}
        bad: list[Any] = [None, {}, {"accuracy": math.nan}, {"accuracy": math.inf}, {"loss": 1.0}, good | {"failed": 1}]
        for i, result in enumerate([*bad, good, *bad, good]):
            config = searcher.suggest(f"trial {i}")
            if config is None:  # it may wait for what is running
                searcher.on_trial_complete("late", good)
                config = searcher.suggest(f"trial {i}")
            assert isinstance(config, dict)
            searcher.on_trial_result(f"trial {i}", result)
            searcher.on_trial_complete(f"trial {i}", result, error=i == 0)
            searcher.on_trial_complete(f"trial {i}", good)
            searcher.on_trial_result("from nowhere", good)
            searcher.on_trial_complete("from nowhere", good)
        searcher.on_trial_complete("late", good)
        statuses = {evaluation.trial: evaluation.status for evaluation in searcher.archive.evaluations}
        assert statuses.pop("late") == "finished"
        assert list(statuses.values()) == [*["failed"] * 6, "finished"] * 2
        assert len(run_trials(searcher, self.space.result, n_trials=20)) == 20

    def test_survives_nothing_but_failures(self, strategy: Strategy) -> None:
        """A search in which every trial fails continues with new architectures."""
        configs = run_trials(self.searcher(strategy), lambda config: {}, self.n_trials)
        assert len({self.space.from_config(config) for config in configs}) == self.n_trials

    def test_pickles_mid_run(self, strategy: Strategy) -> None:
        """A copy that went through cloudpickle, as through ``Tuner.restore``, continues identically."""
        searcher = self.searcher(strategy)
        run_trials(searcher, self.space.result, self.n_trials // 2)
        assert isinstance(searcher.suggest("running"), dict)
        copy = cloudpickle.loads(cloudpickle.dumps(searcher))
        continued = [run_trials(s, self.space.result, self.n_trials) for s in (searcher, copy)]
        assert continued[0] == continued[1] and len(continued[0]) == self.n_trials

    def test_goes_on_after_a_kill_anywhere(self, strategy: Strategy, tmp_path: Path) -> None:
        """Restored from any first part of its archive, mid-trial too, it does what it would have done."""
        searcher = self.searcher(strategy)
        n_trials = min(self.n_trials, 10)
        for n in range(n_trials):
            config = searcher.suggest(str(n))
            searcher.on_trial_result(str(n), self.space.result(config) | {"accuracy": 0.1})
            searcher.on_trial_complete(str(n), self.space.result(config), error=n % 5 == 4)
        searcher.save(str(tmp_path / "whole"))
        lines = (tmp_path / "whole").read_text().splitlines(keepends=True)
        whole = [record["config"] for record in searcher.archive.events("proposed")]
        for n_lines in range(len(lines) + 1):
            (tmp_path / "part").write_text("".join(lines[:n_lines]))
            restored = self.searcher(strategy)
            restored.restore(str(tmp_path / "part"))
            n_proposed = len(restored.archive.events("proposed"))
            assert restored.n_replayed_exactly == n_proposed
            for n in range(max(n_proposed - 1, 0), n_trials):
                config = whole[n] if n < n_proposed else restored.suggest(str(n))
                assert config == whole[n]
                restored.on_trial_complete(str(n), self.space.result(config), error=n % 5 == 4)

    def test_concurrent_trials(self, strategy: Strategy, tmp_path: Path) -> None:
        """With several trials at a time none is repeated, and a restored copy is in the same state at any moment."""
        rng = np.random.default_rng(0)
        searcher, n_started = self.searcher(strategy), 0
        for n_steps in range(3 * self.n_trials):
            running = list(searcher.archive.unfinished().items())
            if len(running) < 3 and rng.random() < 0.6:
                n_started += isinstance(searcher.suggest(f"{n_steps}"), dict)
            elif running:
                trial, record = running[int(rng.integers(len(running)))]
                searcher.on_trial_complete(trial, self.space.result(record["config"]), error=rng.random() < 0.1)
            if n_steps % 6 == 0:
                searcher.save(str(tmp_path / "state"))
                restored, copy = self.searcher(strategy), cloudpickle.loads(cloudpickle.dumps(searcher))
                restored.restore(str(tmp_path / "state"))
                assert _next_three(restored) == _next_three(copy)
        archs = [self.space.from_config(record["config"]) for record in searcher.archive.events("proposed")]
        assert len(archs) == len(set(archs)) == n_started >= self.n_trials

    def test_takes_over_from_another_search(self, strategy: Strategy) -> None:
        """Evaluations of another strategy are learned from and not repeated."""
        earlier = self.searcher(RandomSearch(), seed=99)
        known = run_trials(earlier, self.space.result, 8)
        searcher = self.searcher(strategy, archive=earlier.archive)
        searcher.replay(earlier.archive)
        assert searcher.n_replayed_exactly < 8
        configs = run_trials(searcher, self.space.result, 8 + self.n_trials)
        assert configs[:8] == known
        assert len({self.space.from_config(config) for config in configs}) == 8 + self.n_trials

    def test_recalls_a_search(self, strategy: Strategy) -> None:
        """From its record alone, without making a proposal again, it knows what is running and what is evaluated."""
        first = self.searcher(strategy, seed=99, constraints="params <= 9e3", costs={"params": self.space.params})
        run_trials(first, self.space.result, 8)
        running = first.suggest("running")
        common: dict[str, Any] = {"constraints": "params <= 9e3", "costs": {"params": self.space.params}}
        searcher = self.searcher(strategy, archive=first.archive, **common)
        n_records = len(first.archive)
        searcher.recall(first.archive)
        assert len(first.archive) == n_records and searcher.n_replayed_exactly == 0
        assert searcher.running == first.running == [self.space.from_config(running)]
        configs = run_trials(searcher, self.space.result, 13)
        assert len({self.space.from_config(config) for config in configs}) == 13

    def test_tries_the_given_points_first(self, strategy: Strategy) -> None:
        """First the baseline, then the points to evaluate, then its own ideas; also when it takes over."""
        worst = dict.fromkeys((f"layers.{i}" for i in range(self.space.n_layers)), 0)
        points: list[dict[str, Any]] = [{**worst, "layers.1": 1}, {"arch": {**worst, "layers.2": 2}}]
        for n_before in (0, 3):
            earlier = self.searcher(RandomSearch(), seed=99)
            run_trials(earlier, self.space.result, n_before)
            searcher = self.searcher(strategy, baseline=worst, points_to_evaluate=points, archive=earlier.archive)
            searcher.replay(earlier.archive)
            configs = run_trials(searcher, self.space.result, n_before + 5)
            assert [config["arch"] for config in configs[n_before:]][:3] == [worst, points[0], points[1]["arch"]]

    def test_keeps_to_the_constraints(self, strategy: Strategy) -> None:
        """An architecture that breaks a hard constraint on a cost gets no trial, and a refusal is recorded."""
        searcher = self.searcher(strategy, constraints="params <= 5e3", costs={"params": self.space.params})
        configs = run_trials(searcher, self.space.result, self.n_trials)
        assert len(configs) == self.n_trials
        assert all(self.space.params(config["arch"]) <= 5000 for config in configs)
        refused = searcher.archive.events("refused")
        assert all(record["metrics"]["params"] > 5000 for record in refused)
        assert all(record["reason"].endswith("required params <= 5000") for record in refused)

    def test_proposes_where_few_comply(self, strategy: Strategy, tmp_path: Path) -> None:
        """Under a limit that 0.04 % of a space meet it finds them all, and restored it does what it would have done."""
        space = ToySpace(n_layers=7)
        few: dict[str, Any] = {"constraints": "cost <= 2e3", "costs": {"cost": space.params}, "space": space}
        searcher = self.searcher(strategy, **few)
        configs = run_trials(searcher, space.result, n_trials=8)
        assert len({space.from_config(config) for config in configs}) == 8
        assert all(space.params(config["arch"]) <= 2000 for config in configs)
        assert searcher.archive.events("repaired")
        searcher.save(str(tmp_path / "whole"))
        lines = (tmp_path / "whole").read_text().splitlines(keepends=True)
        (tmp_path / "part").write_text("".join(lines[: len(lines) // 2]))
        restored = self.searcher(strategy, **few)
        restored.restore(str(tmp_path / "part"))
        assert run_trials(restored, space.result, n_trials=8) == configs

    def test_several_objectives(self, strategy: Strategy, limits: Mapping[str, str]) -> None:
        """It takes them, or says that it does not."""
        objectives = ["accuracy", "min:params"]
        if "several objectives" in limits:
            with pytest.raises(ValueError, match="objective"):
                self.searcher(strategy, objectives=objectives)
        else:
            assert len(self.run(strategy, objectives=objectives)) == self.n_trials

    def test_searches_hyperparameters_too(self, strategy: Strategy, limits: Mapping[str, str]) -> None:
        """Tune domains beside the architecture are searched with it, constants are handed on."""
        domains = {"batch_size": tune.choice([16, 32]), "warmup": tune.randint(0, 5), "epochs": 3}
        configs = self.run(strategy, hyperparameters=domains)
        assert len({json.dumps(config) for config in configs}) == self.n_trials
        for config in configs:
            assert dict(self.space.from_config(config)) == config["arch"]
            assert (config["batch_size"] in (16, 32), config["warmup"] in range(5), config["epochs"]) == (True, True, 3)
        real = {"lr": tune.loguniform(1e-4, 1e-1)}
        if "continuous" in limits:
            with pytest.raises(ValueError, match="continuous"):
                self.searcher(strategy, hyperparameters=real)
        else:
            rates = [config["lr"] for config in self.run(strategy, hyperparameters=real)]
            assert all(1e-4 <= rate <= 1e-1 for rate in rates) and len(set(rates)) >= 3

    def test_beats_random_search(self, strategy: Strategy, limits: Mapping[str, str]) -> None:
        """The best of 40 trials is better than random search's on a sum of decisions, in the mean over seeds."""
        if reason := limits.get("beat random"):
            pytest.skip(reason)

        def mean_best(searched: Strategy, n_seeds: int) -> float:
            runs = (self.run(searched, n_trials=40, seed=seed) for seed in range(n_seeds))
            return mean(max(self.space.accuracy(config["arch"]) for config in configs) for configs in runs)

        assert mean_best(strategy, 3) > mean_best(RandomSearch(), 40) + 0.02


def _next_three(searcher: ArchitectureSearcher) -> list[Any]:
    return [searcher.suggest(f"next {i}") for i in range(3)]
