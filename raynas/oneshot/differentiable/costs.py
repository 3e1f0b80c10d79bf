"""Costs in the loss of the architecture: the expectation of a cost, brought near a target."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from raynas.core.metric import Metric
from raynas.core.space import SearchSpace
from raynas.errors import SettingError
from raynas.metrics.expected_cost import Cost, CostTable, fit_cost_table

Form = Literal["absolute", "linear", "log", "power"]
"""Formulas by which an expected cost E and a target T enter the loss L, with a weight w:

- "absolute": ``L + w * |E/T - 1|``, which is least at the target (Bender et al., "TuNAS", CVPR 2020, arXiv:2008.06120);
- "linear": ``L + w * E/T``, the less the better (Cai et al., "ProxylessNAS", ICLR 2019, arXiv:1812.00332, equation 5);
- "log": ``L + w * log(E/T)``, the same by ratios;
- "power": ``L * (E/T)**w`` (Tan et al., "MnasNet", CVPR 2019, arXiv:1807.11626, equation 2, for a loss).
"""


@dataclass(frozen=True, kw_only=True)
class ExpectedCost:
    """A cost that the architecture is to have.

    Args:
        metric: a metric that can be measured, or the name of one in ``METRICS``, such as "macs" or "latency_ms"; or a
            function of an architecture.
        target: what it should be, in the metric's unit.
        weight: how much it matters.
        form: see ``Form``.
        n_samples: random architectures that the table of costs is fitted on; None for as many as there are options.

    Raises:
        SettingError: if target or weight is not a positive number, or the form is unknown.
    """

    metric: str | Metric | Cost = "macs"
    target: float = 1e6
    weight: float = 1.0
    form: Form = "absolute"
    n_samples: int | None = None

    def __post_init__(self) -> None:
        if not (0 < self.target < math.inf and 0 < self.weight < math.inf):
            raise SettingError(f"target and weight must be positive numbers, got {self.target} and {self.weight}")
        if self.form not in get_args(Form):
            raise SettingError(f"form must be one of {', '.join(get_args(Form))}, got {self.form!r}")

    @property
    def name(self) -> str:
        """The name of the metric in reports."""
        if isinstance(self.metric, str):
            return self.metric
        return self.metric.name if isinstance(self.metric, Metric) else getattr(self.metric, "__name__", "cost")

    def table(
        self, space: SearchSpace, seed: int, *, device: str | torch.device = "cpu", n_threads: int = 1
    ) -> CostTable:
        """Return the cost of each option of each decision, measured on a device with a number of CPU threads."""
        return fit_cost_table(
            space, self.metric, n_samples=self.n_samples, seed=seed, device=device, n_threads=n_threads
        )

    def applied(self, loss: Tensor, expected: Tensor) -> Tensor:
        """Return the loss with the expected cost in it, both scalars."""
        ratio = expected / self.target
        if self.form == "power":
            return loss * ratio**self.weight
        term = {"absolute": lambda: (ratio - 1).abs(), "linear": lambda: ratio, "log": ratio.log}[self.form]()
        return loss + self.weight * term
