import math
from collections import Counter

import numpy as np
import pytest
import torch

from raynas.core.architecture import Architecture
from raynas.core.decision import Categorical, Decision, Integer, Real
from raynas.core.space import SearchSpace
from raynas.errors import SpaceError
from raynas.nn.controller import Controller


class Toy(SearchSpace):
    """Ten architectures: one decision matters only for one option of another."""

    input_shape = (1,)

    def __init__(self, *more: Decision) -> None:
        self.more = more

    @property
    def decisions(self) -> list[Decision]:
        kind = Categorical("kind", choices=("a", "b"))
        inner = Categorical("inner", choices=("x", "y", "z", "w"), active_if={"kind": ("a",)})
        return [kind, inner, Integer("depth", low=1, high=2), *self.more]

    def build(self, arch: Architecture) -> torch.nn.Module:
        raise NotImplementedError


def test_probabilities_of_all_architectures_sum_to_one() -> None:
    space = Toy()
    controller = Controller(space, init_range=1.0, seed=1)
    probs = {arch: math.exp(controller.evaluate(arch).log_prob.item()) for arch in space.enumerate()}
    assert len(probs) == 10 and sum(probs.values()) == pytest.approx(1)
    assert max(probs.values()) > 2 * min(probs.values())


def test_samples_come_as_often_as_their_probabilities_say() -> None:
    space = Toy()
    controller = Controller(space, init_range=1.0, seed=1)
    rng = np.random.default_rng(0)
    n = 3000
    with torch.no_grad():
        proposals = [controller.sample(rng) for _ in range(n)]
        counts = Counter(proposal.arch for proposal in proposals)
        for arch in space.enumerate():
            p = math.exp(controller.evaluate(arch).log_prob.item())
            assert abs(counts[arch] - n * p) < 5 * (n * p * (1 - p)) ** 0.5
    assert all(space.canonical(p.arch) == p.arch for p in proposals[:50])
    again = controller.evaluate(proposals[0].arch)
    assert torch.equal(again.log_prob, proposals[0].log_prob) and torch.equal(again.entropy, proposals[0].entropy)


def test_many_at_once_are_the_same_as_one_after_another() -> None:
    """Walks that pass over a decision keep their state while the others take it; gradients agree too."""
    controller = Controller(Toy(), init_range=1.0, seed=1)
    archs = list(Toy().enumerate())
    log_probs, entropies = controller.evaluate_many(archs)
    alone = [controller.evaluate(arch) for arch in archs]
    assert log_probs.shape == entropies.shape == (10, 3)
    torch.testing.assert_close(log_probs.sum(dim=1), torch.stack([p.log_prob for p in alone]))
    torch.testing.assert_close(entropies.sum(dim=1), torch.stack([p.entropy for p in alone]))
    inactive = torch.tensor(["inner" not in arch for arch in archs])
    assert (log_probs[inactive, 1] == 0).all() and (log_probs[~inactive] < 0).all()
    weights = torch.linspace(-1, 1, 10)
    parameters = list(controller.parameters())
    many = torch.autograd.grad((weights * log_probs.sum(dim=1)).sum(), parameters, allow_unused=True)
    single = sum(w * p.log_prob for w, p in zip(weights, alone, strict=True))
    assert isinstance(single, torch.Tensor)
    for first, second in zip(many, torch.autograd.grad(single, parameters, allow_unused=True), strict=True):
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-6)
    assert sum(gradient is None for gradient in many) == 1  # nothing comes behind the last decision


def test_samples_drawn_at_once_come_as_often_as_their_probabilities_say() -> None:
    space, n = Toy(), 3000
    controller = Controller(space, init_range=1.0, seed=1)
    archs, log_probs = controller.sample_many(n, np.random.default_rng(0))
    torch.testing.assert_close(log_probs, controller.evaluate_many(archs)[0])
    counts = Counter(archs)
    assert all(space.canonical(arch) == arch for arch in archs[:50])
    for arch in space.enumerate():
        p = math.exp(controller.evaluate(arch).log_prob.item())
        assert abs(counts[arch] - n * p) < 5 * (n * p * (1 - p)) ** 0.5
    again = (controller.sample_many(5, np.random.default_rng(1))[0] for _ in range(2))
    assert next(again) == next(again)
    with pytest.raises(SpaceError, match="'kind' cannot be 'c'"):
        controller.evaluate_many([archs[0], {"kind": "c"}])


def test_an_indifferent_controller_has_the_entropy_of_its_options() -> None:
    controller = Controller(Toy(), init_range=1e-9)
    active = controller.evaluate({"kind": "a", "inner": "y", "depth": 2})
    assert active.entropy.item() == pytest.approx(math.log(2) + math.log(4) + math.log(2))
    assert active.log_prob.item() == pytest.approx(-math.log(16))
    assert controller.evaluate({"kind": "b", "depth": 2}).entropy.item() == pytest.approx(2 * math.log(2))


def test_logits_are_bounded() -> None:
    """Section 3.1 of ENAS: c * tanh(logits / T) lies in [-c, c], so no option can vanish."""
    controller = Controller(Toy(), init_range=50.0, tanh_constant=2.5, temperature=5.0)
    least = min(controller.evaluate(arch).log_prob.item() for arch in Toy().enumerate())
    assert least >= -sum(math.log(math.exp(5) * (n - 1) + 1) for n in (2, 4, 2)) - 1e-5
    free = Controller(Toy(), init_range=50.0, tanh_constant=None)
    assert min(free.evaluate(arch).log_prob.item() for arch in Toy().enumerate()) < least


def test_policy_gradient_finds_the_best() -> None:
    space = Toy()
    controller = Controller(space, hidden_size=16)
    adam = torch.optim.Adam(controller.parameters(), lr=0.02)
    rng, target = np.random.default_rng(0), Architecture({"kind": "a", "inner": "z", "depth": 2})
    for _ in range(150):
        proposal = controller.sample(rng)
        reward = sum(proposal.arch.get(name) == option for name, option in target.items()) - 1.5
        adam.zero_grad()
        (-reward * proposal.log_prob).backward()
        adam.step()
    assert controller.most_likely() == target


def test_weights_follow_the_seed_alone() -> None:
    before = torch.get_rng_state()
    first, second, other = (Controller(Toy(), seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.cell.weight_hh, second.cell.weight_hh)
    assert not torch.equal(first.cell.weight_hh, other.cell.weight_hh)
    assert max(p.abs().max().item() for p in first.parameters()) <= 0.1


def test_refusals() -> None:
    with pytest.raises(SpaceError, match="continuous decisions such as 'rate'"):
        Controller(Toy(Real("rate")))
    with pytest.raises(ValueError, match="hidden_size >= 1"):
        Controller(Toy(), hidden_size=0)
    with pytest.raises(SpaceError, match="'kind' cannot be 'c'"):
        Controller(Toy()).evaluate({"kind": "c"})
    with pytest.raises(SpaceError, match="'depth' cannot be left out"):
        Controller(Toy()).evaluate({"kind": "b"})
