"""ENAS: shared weights and an LSTM controller take turns (Pham et al., ICML 2018, arXiv:1802.03268)."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from raynas.core.architecture import Architecture
from raynas.errors import SettingError
from raynas.nn.batch_statistics import batch_statistics
from raynas.nn.controller import Controller, Proposal
from raynas.oneshot.base import Batch, Learner, OneShot, Setup
from raynas.oneshot.single_path import N_CANDIDATES
from raynas.seeds import seed_of


@dataclass(frozen=True, kw_only=True)
class Enas(OneShot):
    """Subnets drawn by an LSTM controller, which learns by REINFORCE (ENAS; Pham et al., ICML 2018, arXiv:1802.03268).

    The reward of an architecture is its accuracy on one held-out batch plus its weighted entropy; the controller learns
    by REINFORCE with a moving average of rewards as the baseline. In the end several architectures are drawn and tried
    on the same held-out batch; the best one is what the search has found. Batch norms use the statistics of the batch
    then, as published. So held-out images have a part in the result, and its accuracy has to be taken on others.

    Where limits on costs are given, the controller learns from members near its draws that comply.

    Deviations: each decision has its own output layer and embeddings, where the paper shares them between decisions of
    equal options; the baseline starts at the first reward instead of 0.

    Args:
        hidden_size: width of the controller's LSTM.
        tanh_constant: bound of the controller's logits.
        temperature: what these are divided by before.
        learning_rate: of the controller, which Adam updates.
        entropy_weight: weight of the entropy in the reward, at least 0.
        baseline_decay: how much of the moving average stays at each reward, in [0, 1).
        n_controller_steps: updates of the controller at the end of an epoch.
        n_aggregate: architectures drawn for each of them.
        n_derived: architectures drawn at the end, of which the best is taken.
    """

    needs_classes: ClassVar[bool] = True

    hidden_size: int = 100
    tanh_constant: float = 2.5
    temperature: float = 5.0
    learning_rate: float = 0.00035
    entropy_weight: float = 0.0001
    baseline_decay: float = 0.99
    n_controller_steps: int = 30
    n_aggregate: int = 10
    n_derived: int = 10

    def __post_init__(self) -> None:
        for name in ("hidden_size", "n_controller_steps", "n_aggregate", "n_derived"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("tanh_constant", "temperature", "learning_rate"):
            if getattr(self, name) <= 0:
                raise SettingError(f"{name} must be positive, got {getattr(self, name)}")
        if self.entropy_weight < 0 or not 0 <= self.baseline_decay < 1:
            raise SettingError(
                "Enas needs entropy_weight >= 0 and 0 <= baseline_decay < 1, "
                f"got {self.entropy_weight} and {self.baseline_decay}"
            )

    def start(self, setup: Setup) -> "EnasLearner":
        return EnasLearner(setup, self)


class EnasLearner(Learner):
    """Carries ``Enas`` out."""

    def __init__(self, setup: Setup, settings: Enas) -> None:
        super().__init__(setup)
        self.settings = settings
        # On the CPU: it handles one number after another.
        self.controller = Controller(
            self.supernet.space,
            hidden_size=settings.hidden_size,
            tanh_constant=settings.tanh_constant,
            temperature=settings.temperature,
            seed=seed_of(setup.seed, "controller"),
        )
        self.optimizer = torch.optim.Adam(self.controller.parameters(), lr=settings.learning_rate)
        self.baseline: float | None = None
        self._derived: Architecture | None = None

    def update(self, train: Batch, valid: Batch | None) -> Tensor:
        images, labels = train
        with torch.no_grad():
            arch = self.near(self.controller.sample(self.rng).arch)
        loss = self.accumulate(images, arch, self.supervised(labels))
        self.apply_gradients()
        return loss

    def watch(self, valid: Callable[[], Iterable[Batch]]) -> Mapping[str, float]:
        """Train the controller on the held-out batches, over and over in their order, and derive an architecture."""
        batches = _again_and_again(valid)
        with batch_statistics(self.supernet):
            steps = [self._train_controller(batches) for _ in range(self.settings.n_controller_steps)]
            self._derived = self._best_of_samples(next(batches))
        rewards, entropies = zip(*steps, strict=True)
        return {
            "controller_reward": sum(rewards) / len(rewards),
            "controller_entropy": sum(entropies) / len(entropies),
        }

    def _train_controller(self, batches: Iterator[Batch]) -> tuple[float, float]:
        """One update; gives the mean reward and entropy of what was drawn."""
        rewards, entropies = [], []
        self.optimizer.zero_grad(set_to_none=True)
        for _ in range(self.settings.n_aggregate):
            proposal = self._proposal()
            entropy = float(proposal.entropy.detach())
            reward = self._accuracy(proposal.arch, next(batches)) + self.settings.entropy_weight * entropy
            loss = -proposal.log_prob * self._advantage(reward) / self.settings.n_aggregate
            loss.backward()
            rewards.append(reward)
            entropies.append(entropy)
        self.optimizer.step()
        return sum(rewards) / len(rewards), sum(entropies) / len(entropies)

    def _proposal(self) -> Proposal:
        """Draw from the controller; what breaks a limit is not scored, and it learns from a member near it instead."""
        proposal = self.controller.sample(self.rng)
        kept = self.near(proposal.arch)
        return proposal if kept == proposal.arch else self.controller.evaluate(kept)

    def _advantage(self, reward: float) -> float:
        """Return the advantage of a reward over the moving baseline, and update the baseline."""
        baseline = reward if self.baseline is None else self.baseline
        decay = self.settings.baseline_decay
        self.baseline = decay * baseline + (1 - decay) * reward
        return reward - baseline

    def _accuracy(self, arch: Architecture, batch: Batch) -> float:
        """In [0, 1], over the batches of all workers, so that their controllers stay equal."""
        images, labels = batch
        with torch.no_grad():
            correct = (self.logits(images, arch).argmax(dim=1) == labels).float().mean()
        return float(self.averaged(correct))

    def _best_of_samples(self, batch: Batch) -> Architecture:
        with torch.no_grad():
            samples = [self.near(self.controller.sample(self.rng).arch) for _ in range(self.settings.n_derived)]
        different = list(dict.fromkeys(samples))
        return max(different, key=lambda arch: self._accuracy(arch, batch))

    def candidates(self) -> Sequence[Architecture]:
        """Return the derived architecture; before the end of the first epoch, samples."""
        return self.sampled(N_CANDIDATES) if self._derived is None else [self._derived]

    @property
    def derived(self) -> Architecture | None:
        """The best of the architectures drawn at the end of the last epoch; None before there was one."""
        return self._derived

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {
            "controller": dict(self.controller.state_dict()),
            "controller_optimizer": self.optimizer.state_dict(),
            "baseline": self.baseline,
            "derived": None if self._derived is None else self._derived.to_config(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.controller.load_state_dict(state["controller"])
        self.optimizer.load_state_dict(state["controller_optimizer"])
        self.baseline = state["baseline"]
        self._derived = None if state["derived"] is None else Architecture.from_config({"arch": state["derived"]})


def _again_and_again(batches: Callable[[], Iterable[Batch]]) -> Iterator[Batch]:
    """Repeat the batches without end.

    Raises:
        SettingError: if there are none.
    """
    while True:
        n = 0
        for batch in batches():
            n += 1
            yield batch
        if not n:
            raise SettingError("ENAS needs held-out batches at the end of each epoch, got none")
