from typing import Any

import pytest
import torch

from raynas.core.evaluation import Evaluation
from raynas.strategies import Reinforce
from raynas.testing import run_trials
from tests.strategies.reinforcement.small import SPACE, made, probs, rewarded


def test_golden_trajectory() -> None:
    configs = run_trials(Reinforce(batch_size=3).searcher(SPACE, costs={}, seed=0), SPACE.result, 9)
    assert [" ".join(map(str, config["arch"].values())) for config in configs] == [
        "0 2",
        "0 1",
        "2 2 linear",
        "1 0",
        "2 2 cosine",
        "0 0",
        "2 1 linear",
        "2 1 cosine",
        "1 2",
    ]


def test_the_expected_update_is_the_gradient_of_the_expected_reward() -> None:
    """The claim of the policy gradient theorem, counted over all architectures; the baseline changes nothing."""
    searcher = made(entropy_weight=0.0)
    archs = list(SPACE.enumerate())
    rewards = torch.tensor([SPACE.accuracy(arch) for arch in archs])
    parameters = [p for name, p in searcher.controller.named_parameters() if name != f"embeddings.{2}.weight"]
    p = searcher.controller.evaluate_many(archs)[0].sum(dim=1).exp()
    assert p.sum().item() == pytest.approx(1, abs=1e-5)
    expected = torch.autograd.grad((p * rewards).sum(), parameters, retain_graph=True)
    for baseline in (0.0, 0.5):
        losses: list[torch.Tensor] = []
        searcher.step = losses.append  # type: ignore[assignment, method-assign]
        mean = [torch.zeros_like(parameter) for parameter in parameters]
        for arch, prob, reward in zip(archs, p.tolist(), rewards, strict=True):
            searcher.learn([arch], torch.zeros(1, 3), reward[None] - baseline)
            for total, g in zip(mean, torch.autograd.grad(-losses[-1], parameters, allow_unused=True), strict=True):
                total += prob * (torch.zeros_like(total) if g is None else g)
        for first, second in zip(mean, expected, strict=True):
            torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_the_unit_of_the_objective_does_not_matter(scale: float) -> None:
    def result(config: dict[str, Any]) -> dict[str, float]:
        return {"loss": -scale * SPACE.accuracy(config["arch"]), "training_iteration": 1}

    configs = run_trials(Reinforce(batch_size=2).searcher(SPACE, "loss", costs={}), result, 10)
    assert configs == run_trials(Reinforce(batch_size=2).searcher(SPACE, costs={}), SPACE.result, 10)


def test_what_was_better_becomes_more_likely_after_a_whole_batch() -> None:
    searcher = made(batch_size=4)
    before = probs(searcher)
    good, *bad = rewarded(searcher, [0.9, 0.1, 0.1])
    assert probs(searcher) == before
    bad += rewarded(searcher, [0.1])
    after = probs(searcher)
    if good not in bad:
        assert after[good] > before[good]
    assert sum(after[arch] for arch in set(bad) - {good}) < sum(before[arch] for arch in set(bad) - {good})


def test_the_controller_converges_to_the_best() -> None:
    searcher = made(batch_size=5, learning_rate=0.03, entropy_weight=0.0)
    for _ in range(400):
        arch = searcher.controller.sample_many(1, searcher.rng)[0][0]
        searcher._drawn[arch] = torch.zeros(3)
        searcher.observe(Evaluation(arch, {"accuracy": SPACE.accuracy(arch)}))
    assert SPACE.accuracy(searcher.controller.most_likely()) == 1
    assert max(probs(searcher).values()) > 0.8


def test_entropy_keeps_it_undecided() -> None:
    sharpest = []
    for weight in (0.0, 3.0):
        searcher = made(batch_size=5, learning_rate=0.03, entropy_weight=weight)
        for _ in range(200):
            arch = searcher.controller.sample_many(1, searcher.rng)[0][0]
            searcher._drawn[arch] = torch.zeros(3)
            searcher.observe(Evaluation(arch, {"accuracy": SPACE.accuracy(arch)}))
        sharpest.append(max(probs(searcher).values()))
    assert sharpest[1] < 0.5 < sharpest[0]
