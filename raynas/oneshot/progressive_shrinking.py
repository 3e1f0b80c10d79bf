"""Progressive shrinking: the largest network first, then smaller ones (Cai et al., "Once-for-All", ICLR 2020).

arXiv:1908.09791; settings that the paper leaves open are those of its code.
"""

import copy
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raynas.core.architecture import Architecture, Option
from raynas.core.inputs import Inputs
from raynas.errors import SettingError
from raynas.nn.batch_statistics import batch_statistics
from raynas.nn.morphism.channel_order import sort_channels
from raynas.nn.morphism.elastic_channels import ChannelGroup, channel_groups
from raynas.nn.repeat import Repeat
from raynas.nn.supernet import Supernet
from raynas.oneshot.base import Batch, Learner, OneShot, Setup
from raynas.oneshot.extremes import largest, ranked_numbers, sized_layers
from raynas.oneshot.single_path import N_CANDIDATES
from raynas.seeds import seed_of


@dataclass(frozen=True, kw_only=True)
class ProgressiveShrinking(OneShot):
    """The largest network, then elastic kernels, depths and widths (Once-for-All; Cai et al., ICLR 2020).

    Each phase adds smaller options to those before. Depths and widths are added in two steps: half of the smaller
    options, rounded up, then the rest. From the second phase on subnets learn from the labels and from a frozen
    copy of the largest network as the first phase left it, which sees the same images at the same resolution.
    Before each step of the widths, channels are sorted by importance, see ``channel_groups`` for those that can be.

    A decision belongs to a phase by what it is: the kernel of an elastic layer, the depth of a ``Repeat`` or of a row
    of blocks in a converted model, any other number of an elastic layer as a width. Resolutions and other choices are
    drawn from the start. Phases without decisions are left out.

    The learning rate comes from outside; the paper restarts it for each phase, and ``ProgressiveLearner.phases``
    lists them, ``first_steps`` says where they begin.

    Args:
        full_share: how long the largest network is trained alone; shares are relative to the sum of those of all phases
            that there are, and the defaults are the paper's epochs.
        kernel_share: how long kernels are the only thing elastic.
        depth_shares: of the two steps of the depths.
        width_shares: of the two steps of the widths.
        kernel_subnets: how many subnets a step trains in that phase; their gradients are summed.
        depth_subnets: as ``kernel_subnets``.
        width_subnets: as ``kernel_subnets``.
        kd_ratio: weight of the loss against the largest network's predictions, beside 1 for that against labels.
    """

    full_share: float = 180
    kernel_share: float = 120
    depth_shares: tuple[float, float] = (25, 120)
    width_shares: tuple[float, float] = (25, 120)
    kernel_subnets: int = 1
    depth_subnets: int = 2
    width_subnets: int = 4
    kd_ratio: float = 1.0

    def __post_init__(self) -> None:
        shares = (self.full_share, self.kernel_share, *self.depth_shares, *self.width_shares)
        if len(shares) != 6 or min(shares) <= 0:
            raise SettingError(f"shares must be positive, two for depths and two for widths, got {shares}")
        if min(self.kernel_subnets, self.depth_subnets, self.width_subnets) < 1:
            raise SettingError("kernel_subnets, depth_subnets and width_subnets must be at least 1")
        if self.kd_ratio < 0:
            raise SettingError(f"kd_ratio must be at least 0, got {self.kd_ratio}")

    def start(self, setup: Setup) -> "ProgressiveLearner":
        return ProgressiveLearner(setup, self)


@dataclass(frozen=True)
class Phase:
    """A part of the training.

    Args:
        name: what becomes elastic.
        share: how long it is, relative to the others.
        n_subnets: how many subnets a step trains.
        options: by decision, those that subnets are drawn from.
    """

    name: str
    share: float
    n_subnets: int
    options: Mapping[str, Sequence[Option]]


class ProgressiveLearner(Learner):
    """Carries ``ProgressiveShrinking`` out."""

    def __init__(self, setup: Setup, settings: ProgressiveShrinking) -> None:
        super().__init__(setup)
        self.settings = settings
        self.phases = phases(self.supernet, settings)
        self.largest = largest(self.supernet)
        self.teacher: Supernet | None = None
        self._kinds = kinds(self.supernet)
        self._entered = 0
        self._groups: list[ChannelGroup] | None = None

    @property
    def first_steps(self) -> list[int]:
        """The step, counted from the beginning of the training, at which each phase begins."""
        total = sum(phase.share for phase in self.phases)
        ends = list(accumulate(phase.share / total for phase in self.phases))
        n_steps = self.setup.n_epochs * self.setup.n_steps
        return [0, *(max(1, round(end * n_steps)) for end in ends[:-1])]  # There is something to learn from the first.

    def phase_at(self, step: int) -> int:
        """Return the number of the phase that contains a step."""
        return bisect_right(self.first_steps, max(step, 0)) - 1

    @property
    def _step(self) -> int:
        return self.epoch * self.setup.n_steps + self.step_in_epoch

    def update(self, train: Batch, valid: Batch | None) -> Tensor:
        for number in range(self._entered + 1, self.phase_at(self._step) + 1):
            self._enter(number)
        inputs, targets = train
        phase = self.phases[self._entered]
        # As published, all subnets of a step see the images at one resolution.
        resolution = {name: self._draw(phase, name, self.rng) for name, kind in self._kinds.items() if kind == "side"}
        loss_of = self._loss_of(inputs, targets, resolution)
        subnets = [self._subnet(phase, self.rng, resolution) for _ in range(phase.n_subnets)]
        losses = [self.accumulate(inputs, subnet, loss_of) for subnet in subnets]
        self.apply_gradients()
        return torch.stack(losses).mean()

    def _enter(self, number: int) -> None:
        """Do what has to be done once, before the first step of a phase."""
        if number == 1 and self.settings.kd_ratio:
            self.teacher = self._frozen_copy()
        if self.phases[number].name == "width":
            if self._groups is None:
                self._groups = channel_groups(self.supernet)
            sort_channels(self.supernet, self._groups, self.phases[number - 1].options, self.setup.optimizer)
        self._entered = number

    def _frozen_copy(self) -> Supernet:
        space = self.supernet.space
        return copy.deepcopy(self.supernet, {id(space): space}).requires_grad_(False)

    def _loss_of(self, inputs: Inputs, targets: Any, resolution: Mapping[str, Option]) -> Callable[[Tensor], Tensor]:
        """Return the loss of a subnet's predictions against the targets and the predictions of the largest network."""
        hard, teacher = self.supervised(targets), self.teacher
        if teacher is None:
            return hard
        with torch.no_grad(), batch_statistics(teacher):
            soft = self.logits(inputs, {**self.largest, **resolution}, teacher)
        weight, imitation = self.settings.kd_ratio, self.setup.imitation
        return lambda outputs: hard(outputs) + weight * imitation(outputs, soft, targets)

    def _subnet(
        self, phase: Phase, rng: np.random.Generator, given: Mapping[str, Option] | None = None
    ) -> Architecture:
        """Draw a subnet of a phase."""
        options: dict[str, Option] = {}
        for decision in self.supernet.space.decisions:
            if decision.is_active(options):
                name = decision.name
                options[name] = given[name] if given and name in given else self._draw(phase, name, rng)
        return Architecture(options)

    def _draw(self, phase: Phase, name: str, rng: np.random.Generator) -> Option:
        options = phase.options[name]
        return options[int(rng.integers(len(options)))]

    def candidates(self) -> Sequence[Architecture]:
        """Random subnets of the phase that was trained last; where they break limits, others near them."""
        phase = self.phases[self.phase_at(self._step - 1)]
        rng = np.random.default_rng(seed_of(self.setup.seed, "candidates", self.epoch))
        return [self.within_limits(self._subnet(phase, rng)) for _ in range(N_CANDIDATES)]

    def state_dict(self) -> dict[str, Any]:
        teacher = None if self.teacher is None else dict(self.teacher.state_dict())
        return super().state_dict() | {"phase": self._entered, "teacher": teacher}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._entered = int(state["phase"])
        self.teacher = None
        if state["teacher"] is not None:
            self.teacher = self._frozen_copy()
            self.teacher.load_state_dict(state["teacher"])


def phases(supernet: Supernet, settings: ProgressiveShrinking) -> list[Phase]:
    """Return the phases of a training, without those that would add no option."""
    numbers, kind_of = ranked_numbers(supernet), kinds(supernet)
    options: dict[str, Sequence[Option]] = {d.name: d.options for d in supernet.space.decisions}
    options |= {name: ranked[-1:] for name, ranked in numbers.items() if kind_of[name] != "side"}
    found = [Phase("full", settings.full_share, 1, dict(options))]
    plan = [("kernel", settings.kernel_share, settings.kernel_subnets, 1.0)]
    plan += [("depth", s, settings.depth_subnets, part) for s, part in zip(settings.depth_shares, _STEPS, strict=True)]
    plan += [("width", s, settings.width_subnets, part) for s, part in zip(settings.width_shares, _STEPS, strict=True)]
    for name, share, n_subnets, part in plan:
        before = dict(options)
        options |= {n: _largest(ranked, part) for n, ranked in numbers.items() if kind_of[n] == name}
        if options != before:
            found.append(Phase(name, share, n_subnets, dict(options)))
    return found


_STEPS = (0.5, 1.0)
"""The part of the smaller options that there is in each step of depths and widths."""


def _largest(ranked: Sequence[Option], part: float) -> Sequence[Option]:
    """Return the largest option and a part of the smaller ones, rounded up, in ascending order."""
    return ranked[-1 - ceil(part * (len(ranked) - 1)) :]


def kinds(supernet: Supernet) -> dict[str, str]:
    """By the name of each decision about a number: "kernel", "depth", "width", or "side" for a resolution."""
    found = {place.name: "depth" for place in supernet.expanded_choices if isinstance(place.choice, Repeat)}
    for name, (_, argument) in sized_layers(supernet).items():
        kind = next((kind for kind in ("kernel", "depth", "side") if argument.startswith(kind)), "width")
        found[name] = kind
    return found
