"""Contract tests for search spaces of your own: derive from the class, give the fixture, and pytest does the rest."""

import json
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from ray import cloudpickle
from torch import nn

from raynas.architecture import Architecture, Option
from raynas.errors import SpaceError
from raynas.space import SearchSpace

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
        for arch in space._samples_of_every_option(5, np.random.default_rng(0)):
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

    def test_space_pickles(self, space: SearchSpace, samples: Sequence[Architecture]) -> None:
        """A copy that went through cloudpickle, as through Ray, is the same space."""
        copy = cloudpickle.loads(cloudpickle.dumps(space))
        assert copy.fingerprint == space.fingerprint
        assert _sampled(copy, seed=0) == samples
        assert _shapes(copy.build(samples[0])) == _shapes(space.build(samples[0]))


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
