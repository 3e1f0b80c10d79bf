"""REINFORCE: the gradient for the architecture from the accuracy of drawn networks (Williams, 1992).

The second way of Cai et al., "ProxylessNAS" (ICLR 2019, arXiv:1812.00332, section 3.3.2), which needs no derivative of
the reward. The numbers are those of the authors' program.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from raynas.errors import SettingError
from raynas.nn.selection import Mixture
from raynas.oneshot.differentiable.relaxed import RelaxedArchitecture


@dataclass(frozen=True, kw_only=True)
class Reinforce:
    """Settings of the estimate.

    Args:
        n_samples: networks drawn for a step of the architecture.
        decay: share of the new rewards' mean in the baseline, which the first mean begins.

    Raises:
        SettingError: if a number is out of range.
    """

    n_samples: int = 10
    decay: float = 0.99

    def __post_init__(self) -> None:
        if self.n_samples < 1 or not 0 < self.decay <= 1:
            raise SettingError(f"need n_samples >= 1 and 0 < decay <= 1, got {self}")


class Reinforcement:
    """Adds gradients to architecture parameters.

    The reward is the accuracy, times ``(cost / target) ** -weight`` for each cost of the method, as in MnasNet (Tan et
    al., CVPR 2019, arXiv:1807.11626), whatever the form of the cost.

    Args:
        settings: number of samples, and decay of the baseline.
        relaxed: the architecture, whose fixed weights are one option each.
    """

    def __init__(self, settings: Reinforce, relaxed: RelaxedArchitecture) -> None:
        self.settings, self.relaxed = settings, relaxed
        self.baseline: float | None = None

    def backward(self, accuracy: Callable[[Mapping[str, Mixture]], float], progress: float) -> None:
        """Draw networks, score them, and add the gradient of the negative mean reward.

        Args:
            accuracy: of the network that weights select, in [0, 1].
            progress: share of the training that is done, in [0, 1].
        """
        drawn = [self.relaxed.fixed_weights(progress) for _ in range(self.settings.n_samples)]
        rewards = [accuracy(weights) * self._discount(weights) for weights in drawn]
        mean = sum(rewards) / len(rewards)
        before = mean if self.baseline is None else self.baseline
        self.baseline = before + self.settings.decay * (mean - before)
        terms = [(self.baseline - r) * self._log_prob(w) for r, w in zip(rewards, drawn, strict=True)]
        (torch.stack(terms).sum() / len(drawn)).backward()

    def _log_prob(self, weights: Mapping[str, Mixture]) -> Tensor:
        alphas = self.relaxed.alphas
        logs = []
        for name, mixture in weights.items():
            kept = list(alphas.kept[name])
            logs.append(alphas.values[name][kept].log_softmax(0)[kept.index(int(mixture.weights.argmax()))])
        return torch.stack(logs).sum()

    @torch.no_grad()
    def _discount(self, weights: Mapping[str, Mixture]) -> float:
        if not self.relaxed.method.costs:
            return 1.0
        probabilities = self.relaxed.alphas.option_probabilities(self.relaxed.method.relaxation)
        drawn = {name: mixture.weights[: len(probabilities[name])] for name, mixture in weights.items()}
        discount = 1.0
        for cost, table in zip(self.relaxed.method.costs, self.relaxed.tables, strict=True):
            discount *= (float(table.expected({**probabilities, **drawn})) / cost.target) ** -cost.weight
        return discount
