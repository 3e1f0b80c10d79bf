"""Contract tests for search spaces and strategies of your own: derive from the class, give the fixture, run pytest."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pytest
import torch
from ray import cloudpickle, tune
from ray.tune.search import Searcher
from torch import nn

from raynas.core.architecture import Architecture, Option
from raynas.core.decision import Categorical, Decision, Integer
from raynas.core.searcher import ArchitectureSearcher
from raynas.core.space import SearchSpace
from raynas.errors import SpaceError
from raynas.nn import ModelSpace, Supernet
from raynas.strategies import RandomSearch, Strategy

N_SAMPLES = 40
SMALL = 40_000
"""Spaces up to this size are enumerated."""


class SpaceContract:
    """What every search space must do.

    Derive from it and give the space, small enough to build some hundred of its networks::

        class TestMySpace(SpaceContract):
            @pytest.fixture
            def space(self):
                return ModelSpace(MyNet, input_shape=(1, 8, 8))
    """

    has_supernet: bool = True
    """Make it False for a ModelSpace whose choices change a width that layers without elasticity follow."""

    @pytest.fixture
    def space(self) -> SearchSpace:
        """The space under test; override it."""
        raise NotImplementedError("give the space to test in a fixture named 'space'")

    @pytest.fixture
    def samples(self, space: SearchSpace) -> Sequence[Architecture]:
        """Random members of the space."""
        return _sampled(space, seed=0)

    def test_samples_are_canonical(self, space: SearchSpace, samples: Sequence[Architecture]) -> None:
        """A sample is a member and has no inactive decision."""
        for arch in samples:
            assert dict(space.canonical(arch)) == dict(arch)

    def test_samples_follow_the_seed(self, space: SearchSpace, samples: Sequence[Architecture]) -> None:
        """The same seed gives the same samples, another one others."""
        assert _sampled(space, seed=0) == samples
        assert space.size == 1 or _sampled(space, seed=1) != samples

    def test_canonical_drops_what_is_inactive(self, space: SearchSpace, samples: Sequence[Architecture]) -> None:
        """A superset of a member is canonicalised to the member."""
        rng = np.random.default_rng(0)
        for arch in samples:
            inactive = {d.name: d.sample(rng) for d in space.decisions if d.name not in arch}
            assert space.canonical({**inactive, **arch}) == arch

    def test_canonical_refuses_what_is_no_member(self, space: SearchSpace, samples: Sequence[Architecture]) -> None:
        """An unknown decision, a missing one and an unknown option are each refused by name."""
        arch = samples[0]
        name = next(iter(arch))
        with pytest.raises(SpaceError, match="no such decision"):
            space.canonical({**arch, "no such decision": 0})
        with pytest.raises(SpaceError, match=name):
            space.canonical({n: option for n, option in arch.items() if n != name})
        with pytest.raises(SpaceError, match="no such option"):
            space.canonical({**arch, name: "no such option"})

    def test_mutate_changes_one_decision(self, space: SearchSpace, samples: Sequence[Architecture]) -> None:
        """The others that stay active keep their option, and the child is canonical."""
        rng = np.random.default_rng(0)
        for arch in samples:
            child = space.mutate(arch, rng)
            assert space.canonical(child) == child
            assert len(_different(arch, child)) == 1

    def test_mutate_reaches_every_decision(self, space: SearchSpace, samples: Sequence[Architecture]) -> None:
        """No active decision with an alternative is left out."""
        rng = np.random.default_rng(0)
        arch = samples[0]
        free = {d.name for d in space.decisions if d.name in arch and len(d.options) != 1}
        changed = {name for _ in range(40 * len(free)) for name in _different(arch, space.mutate(arch, rng))}
        assert changed == free

    def test_crossover_takes_from_the_parents(self, space: SearchSpace, samples: Sequence[Architecture]) -> None:
        """Every option that a parent has for the decision comes from a parent, and the child is canonical."""
        rng = np.random.default_rng(0)
        for first, second in pairwise(samples):
            child = space.crossover(first, second, rng)
            assert space.canonical(child) == child
            for name, option in child.items():
                inherited = {parent[name] for parent in (first, second) if name in parent}
                assert not inherited or option in inherited
        assert space.crossover(samples[0], samples[0], rng) == samples[0]

    def test_neighbours_differ_in_one_decision(self, space: SearchSpace, samples: Sequence[Architecture]) -> None:
        """They are canonical, all different, and as many as there are other options."""
        for arch in samples[:5]:
            neighbours = list(space.neighbours(arch))
            others = sum(len(d.others(arch[d.name])) for d in space.decisions if d.name in arch)
            assert len(set(neighbours)) == len(neighbours) == others
            for neighbour in neighbours:
                assert space.canonical(neighbour) == neighbour
                assert len(_different(arch, neighbour)) == 1

    def test_moves_ignore_the_order_of_decisions(self, space: SearchSpace, samples: Sequence[Architecture]) -> None:
        """An architecture that was read from a file, its decisions in another order, moves alike."""
        for first, second in pairwise(samples[:10]):
            assert _moves(space, first, second) == _moves(space, _turned(first), _turned(second))

    def test_encoding_tells_architectures_apart(self, space: SearchSpace, samples: Sequence[Architecture]) -> None:
        """Each has shape (n_features,), values in [0, 1], and two are equal only for the same architecture."""
        encodings = {arch: space.encode(arch) for arch in samples}
        for encoding in encodings.values():
            assert encoding.shape == (space.n_features,)
            assert encoding.min() >= 0 and encoding.max() <= 1
        assert len({encoding.tobytes() for encoding in encodings.values()}) == len(encodings)

    def test_architectures_survive_json_and_tune(self, space: SearchSpace, samples: Sequence[Architecture]) -> None:
        """JSON and a Tune config give back the same architecture under the same key."""
        for arch in samples:
            assert Architecture.from_json(arch.to_json()) == arch
            assert Architecture.from_json(arch.to_json()).key == arch.key
            assert space.from_config(json.loads(json.dumps(space.to_config(arch)))) == arch

    def test_size_is_what_enumeration_finds(self, space: SearchSpace) -> None:
        """A small space is enumerated: all members are canonical, different, and as many as it says."""
        if space.size > SMALL:
            pytest.skip(f"{space.size} members are too many to enumerate")
        members = list(space.enumerate())
        assert len(set(members)) == len(members) == space.size
        assert all(space.canonical(arch) == arch for arch in members[:: max(1, len(members) // 100)])

    def test_param_space_gives_members(self, space: SearchSpace) -> None:
        """Whatever Tune draws from the domains, each for itself, is canonicalised to a member."""
        domains = space.param_space()
        assert set(domains) == {decision.name for decision in space.decisions}
        for _ in range(N_SAMPLES):
            config = {"arch": {name: domain.sample() for name, domain in domains.items()}}
            arch = space.from_config(json.loads(json.dumps(config)))
            assert space.canonical(arch) == arch

    def test_every_option_builds_and_runs(self, space: SearchSpace) -> None:
        """Networks that together show every option map two examples to finite outputs, one each."""
        seen: set[tuple[str, Option]] = set()
        for arch in space.showcase(5):
            seen |= set(arch.items())
            with torch.no_grad():
                out = space.build(arch).eval()(space.example_input(2))
            assert out.shape[0] == 2 and torch.isfinite(out).all(), arch
        assert seen >= {(d.name, option) for d in space.decisions for option in d.options}

    def test_check_passes(self, space: SearchSpace) -> None:
        """Nothing is broken."""
        space.check(n_samples=5)

    def test_networks_have_gradients(self, space: SearchSpace, samples: Sequence[Architecture]) -> None:
        """In training mode the loss of a batch reaches some parameter."""
        model = space.build(samples[0]).train()
        model(torch.randn_like(space.example_input(4))).square().sum().backward()
        assert any(parameter.grad is not None for parameter in model.parameters())

    def test_build_follows_the_seed(self, space: SearchSpace, samples: Sequence[Architecture]) -> None:
        """The same seed of torch gives the same weights, even in a space that was not looked at before."""
        fresh = cloudpickle.loads(cloudpickle.dumps(space))
        weights = [_weights(member_of, samples[0], seed) for member_of, seed in ((space, 0), (space, 0), (fresh, 0))]
        for name, tensor in weights[0].items():
            assert all(torch.equal(tensor, other[name]) for other in weights[1:]), name

    def test_build_on_meta_takes_no_memory(self, space: SearchSpace, samples: Sequence[Architecture]) -> None:
        """Under the meta device every tensor is one without values, of the same shape as otherwise."""
        with torch.device("meta"):
            model = space.build(samples[0])
        state = model.state_dict()
        assert all(tensor.is_meta for tensor in state.values())
        assert _shapes(model) == _shapes(space.build(samples[0]))

    def test_build_takes_members_only(self, space: SearchSpace, samples: Sequence[Architecture]) -> None:
        """A superset of a member builds the member's network; what is no member is refused."""
        rng = np.random.default_rng(0)
        arch = min(samples, key=len)
        superset = Architecture({**{d.name: d.sample(rng) for d in space.decisions}, **arch})
        assert _shapes(space.build(superset)) == _shapes(space.build(arch))
        with pytest.raises(SpaceError):
            space.build(Architecture({**arch, next(iter(arch)): "no such option"}))

    def test_supernet_holds_every_subnet(self, space: SearchSpace) -> None:
        """In eval mode a subnet computes the same inside the supernet and extracted, and extracted has build's tensors.

        Only where the space is read off a model with choices, and ``has_supernet`` is not made False.
        """
        if not isinstance(space, ModelSpace) or not self.has_supernet:
            pytest.skip(f"{space.name} has no supernet")
        torch.manual_seed(0)
        supernet = Supernet(space).eval()
        x = torch.randn_like(space.example_input(2))
        for arch in space.showcase(2):
            subnet = supernet.extract(arch)
            with torch.no_grad():
                torch.testing.assert_close(subnet(x), supernet(x, arch), rtol=1e-4, atol=1e-5)
            assert _shapes(subnet) == _shapes(space.build(arch))

    def test_space_pickles(self, space: SearchSpace, samples: Sequence[Architecture]) -> None:
        """A copy that went through cloudpickle, as through Ray, is the same space."""
        copy = cloudpickle.loads(cloudpickle.dumps(space))
        assert copy.fingerprint == space.fingerprint
        assert _sampled(copy, seed=0) == samples
        assert _shapes(copy.build(samples[0])) == _shapes(space.build(samples[0]))


@dataclass(frozen=True)
class ToySpace(SearchSpace):
    """A space for tests of strategies: accuracy is a sum over the decisions, and the last decision is conditional.

    Args:
        n_layers: how many decisions matter always.
        n_options: how many options each of them has.
    """

    n_layers: int = 5
    n_options: int = 4
    input_shape = (1,)

    @property
    def decisions(self) -> Sequence[Decision]:
        best = self.n_options - 1
        layers = [Integer(f"layers.{i}", 0, best) for i in range(self.n_layers)]
        return [*layers, Categorical("head", ("linear", "cosine"), active_if={"layers.0": (best,)})]

    def build(self, arch: Architecture) -> nn.Module:
        return nn.Identity()

    def accuracy(self, arch: Mapping[str, Option]) -> float:
        """In [0, 1]; 1 for the largest option everywhere and the head "cosine"."""
        return (self._sum(arch) + (arch.get("head") == "cosine")) / (self.n_layers * (self.n_options - 1) + 1)

    def params(self, arch: Mapping[str, Option]) -> float:
        """At least 1000, and the more the better the accuracy."""
        return 1000.0 * (1 + self._sum(arch))

    def result(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """What a trial of ``config`` would report to Tune after one epoch."""
        arch = config["arch"]
        return {"accuracy": self.accuracy(arch), "params": self.params(arch), "training_iteration": 1}

    def _sum(self, arch: Mapping[str, Option]) -> int:
        return sum(int(option) for name, option in arch.items() if name != "head")


def run_trials(
    searcher: ArchitectureSearcher, evaluate: Callable[[dict[str, Any]], Mapping[str, Any]], n_trials: int
) -> list[dict[str, Any]]:
    """Drive a searcher as Tune does, one trial at a time, without a cluster.

    Args:
        searcher: proposes; trials that are still running in it are ended first.
        evaluate: the result of a trial's config.
        n_trials: how many trials the searcher has seen in the end.

    Returns:
        The configs of all its trials, oldest first.
    """
    for trial, record in searcher.archive.unfinished().items():
        searcher.on_trial_complete(trial, dict(evaluate(record["config"])))
    for n in range(len(searcher.archive.events("proposed")), n_trials):
        config = searcher.suggest(f"{n + 1:05d}")
        if not isinstance(config, dict):
            break
        searcher.on_trial_complete(f"{n + 1:05d}", dict(evaluate(config)))
    return [record["config"] for record in searcher.archive.events("proposed")]


class StrategyContract:
    """What every strategy must do, whatever its algorithm.

    Derive from it and give the strategy, and what it cannot do by nature::

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
        """The strategy under test; override it. Settings that leave its initial phase within ten trials test more."""
        raise NotImplementedError("give the strategy to test in a fixture named 'strategy'")

    @pytest.fixture
    def limits(self) -> Mapping[str, str]:
        """Why it cannot use a "seed", "beat random", or take "several objectives" or a "continuous" decision."""
        return {}

    def searcher(self, strategy: Strategy, space: ToySpace | None = None, **arguments: Any) -> ArchitectureSearcher:
        """A fresh searcher with no costs but those given."""
        return strategy.searcher(space or self.space, **{"costs": {}, **arguments})

    def run(self, strategy: Strategy, n_trials: int | None = None, **arguments: Any) -> list[dict[str, Any]]:
        """The configs of a search from its start."""
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
        """A search in which every trial fails goes on with new architectures."""
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
        """What another strategy found is learned from and not tried again."""
        earlier = self.searcher(RandomSearch(), seed=99)
        known = run_trials(earlier, self.space.result, 8)
        searcher = self.searcher(strategy, archive=earlier.archive)
        searcher.replay(earlier.archive)
        assert searcher.n_replayed_exactly < 8
        configs = run_trials(searcher, self.space.result, 8 + self.n_trials)
        assert configs[:8] == known
        assert len({self.space.from_config(config) for config in configs}) == 8 + self.n_trials

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
        """What breaks a hard constraint that needs no training gets no trial; it is on record, with the reason."""
        searcher = self.searcher(strategy, constraints="params <= 5e3", costs={"params": self.space.params})
        configs = run_trials(searcher, self.space.result, self.n_trials)
        assert len(configs) == self.n_trials
        assert all(self.space.params(config["arch"]) <= 5000 for config in configs)
        refused = searcher.archive.events("refused")
        assert refused and all(record["metrics"]["params"] > 5000 for record in refused)
        assert all(record["reason"].endswith("required params <= 5000") for record in refused)

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
        assert self._mean_best(strategy, range(3)) > self._mean_best(RandomSearch(), range(40)) + 0.02

    def _mean_best(self, strategy: Strategy, seeds: Iterable[int]) -> float:
        runs = (self.run(strategy, n_trials=40, seed=seed) for seed in seeds)
        return mean(max(self.space.accuracy(config["arch"]) for config in configs) for configs in runs)


def _next_three(searcher: ArchitectureSearcher) -> list[Any]:
    return [searcher.suggest(f"next {i}") for i in range(3)]


def _sampled(space: SearchSpace, seed: int) -> list[Architecture]:
    rng = np.random.default_rng(seed)
    return [space.sample(rng) for _ in range(N_SAMPLES)]


def _different(first: Architecture, second: Architecture) -> list[str]:
    """The decisions active in both that do not hold the same option."""
    return [name for name in first.keys() & second.keys() if first[name] != second[name]]


def _turned(arch: Architecture) -> Architecture:
    return Architecture(dict(reversed(list(arch.items()))))


def _moves(space: SearchSpace, first: Architecture, second: Architecture) -> list[Architecture]:
    rng = np.random.default_rng(0)
    return [space.mutate(first, rng), space.crossover(first, second, rng), *space.neighbours(first)]


def _weights(space: SearchSpace, arch: Architecture, seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return space.build(arch).state_dict()


def _shapes(model: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in model.state_dict().items()}
