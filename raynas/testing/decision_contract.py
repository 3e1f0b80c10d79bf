"""DecisionContract: tests of all that follows from the decisions of a space alone."""

import json
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from raynas.core.architecture import Architecture
from raynas.core.space import SearchSpace
from raynas.errors import SpaceError

N_SAMPLES = 40
SMALL = 40_000
"""Spaces up to this size are enumerated."""


class DecisionContract:
    """The half of ``SpaceContract`` that needs no network: membership, moves, encoding, configs, size."""

    @pytest.fixture
    def space(self) -> SearchSpace:
        """Return the space under test; override it."""
        raise NotImplementedError("give the space to test in a fixture named 'space'")

    @pytest.fixture
    def samples(self, space: SearchSpace) -> Sequence[Architecture]:
        """Draw random members of the space."""
        return sampled(space, seed=0)

    def test_samples_are_canonical(self, space: SearchSpace, samples: Sequence[Architecture]) -> None:
        """A sample is a member and has no inactive decision."""
        for arch in samples:
            assert dict(space.canonical(arch)) == dict(arch)

    def test_samples_follow_the_seed(self, space: SearchSpace, samples: Sequence[Architecture]) -> None:
        """The same seed gives the same samples, another one others."""
        assert sampled(space, seed=0) == samples
        assert space.size == 1 or sampled(space, seed=1) != samples

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
            assert _moves(space, first, second) == _moves(space, _reversed(first), _reversed(second))

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


def sampled(space: SearchSpace, seed: int) -> list[Architecture]:
    """Draw ``N_SAMPLES`` members of a space."""
    rng = np.random.default_rng(seed)
    return [space.sample(rng) for _ in range(N_SAMPLES)]


def _different(first: Architecture, second: Architecture) -> list[str]:
    """Return the decisions active in both that do not hold the same option."""
    return [name for name in first.keys() & second.keys() if first[name] != second[name]]


def _reversed(arch: Architecture) -> Architecture:
    return Architecture(dict(reversed(list(arch.items()))))


def _moves(space: SearchSpace, first: Architecture, second: Architecture) -> list[Architecture]:
    rng = np.random.default_rng(0)
    return [space.mutate(first, rng), space.crossover(first, second, rng), *space.neighbours(first)]
