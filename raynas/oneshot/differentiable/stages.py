"""Stages: a supernet that changes during the search, and the operations that leave it.

Chen et al., "P-DARTS" (ICCV 2019, arXiv:1904.12760): deeper networks with fewer operations. Chen et al., "DrNAS" (ICLR
2021, arXiv:2006.10355, section 2.4): more channels with fewer operations.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from raynas.errors import RaynasError, SettingError
from raynas.nn.model_space import ModelSpace
from raynas.nn.supernet import Supernet


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of the search.

    Args:
        share: how long it is compared with the others.
        keep: how many operations of each decision it begins with, "no operation" counted; None for all.
        space: fields of the space to replace, e.g. ``{"cells": 11}``.
        partial_channels: k, of which 1/k of the channels goes through operations; None for what the method has.
        fresh: start weights and architecture parameters from scratch.
        skip_dropout: rate of the dropout behind skip connections at its beginning, in [0, 1).

    Raises:
        SettingError: if a value is out of range.
    """

    share: float = 1.0
    keep: int | None = None
    space: Mapping[str, int] = field(default_factory=dict, hash=False)
    partial_channels: int | None = None
    fresh: bool = False
    skip_dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.share <= 0:
            raise SettingError(f"the share of a stage must be positive, got {self.share}")
        if self.keep is not None and self.keep < 2:
            raise SettingError(f"a stage must keep at least 2 operations, got {self.keep}")
        if not 0 <= self.skip_dropout < 1:
            raise SettingError(f"skip_dropout must be in [0, 1), got {self.skip_dropout}")

    def dropout_at(self, progress: float, warmup: float) -> float:
        """Return the rate of dropout after skip connections: it falls linearly in the warm-up, then exponentially.

        As in the authors' program: by exp(-0.2) each epoch, of which a stage has 25.

        Args:
            progress: the share of the stage that is done, in [0, 1].
            warmup: the share in which architecture parameters rest.
        """
        factor = 1 - progress if progress < warmup else math.exp(-5 * (progress - warmup))
        return self.skip_dropout * factor


def stage_starts(stages: Sequence[Stage], n_epochs: int) -> list[int]:
    """Return the first epoch of each stage, and the end.

    Raises:
        RaynasError: if there are fewer epochs than stages.
    """
    if n_epochs < len(stages):
        raise RaynasError(f"{len(stages)} stages need at least as many epochs, got {n_epochs}")
    total, starts = sum(stage.share for stage in stages), [0]
    for i, _ in enumerate(stages[:-1], 1):
        exact = n_epochs * sum(stage.share for stage in stages[:i]) / total
        left = len(stages) - i  # Each of the stages to come needs an epoch.
        starts.append(min(max(round(exact), starts[-1] + 1), n_epochs - left))
    return [*starts, n_epochs]


def staged_space(space: ModelSpace, stage: Stage) -> ModelSpace:
    """Return the space at the size of a stage.

    Raises:
        RaynasError: if it has no such fields, or other decisions then.
    """
    if not stage.space:
        return space
    names: set[str] = {f.name for f in dataclasses.fields(space)} if dataclasses.is_dataclass(space) else set()
    if missing := sorted(set(stage.space) - names):
        raise RaynasError(
            f"{space.name} has no field {missing[0]!r} that a stage could change; give stages without it, e.g. "
            f"stages=(Stage(), Stage(keep=5)); it has {', '.join(sorted(names)) or 'none'}"
        )
    changed: ModelSpace = dataclasses.replace(space, **stage.space)  # type: ignore[type-var]
    if list(changed.decisions) != list(space.decisions):
        raise RaynasError(f"{space.name} has other decisions with {dict(stage.space)}, so what is learned has no place")
    return changed


def swap_parameters(optimizer: torch.optim.Optimizer, parameters: Iterable[nn.Parameter]) -> None:
    """Let an optimizer train other parameters, without what it remembers of the old ones.

    Raises:
        RaynasError: if it has several groups of parameters, of which nobody knows what goes where.
    """
    if len(optimizer.param_groups) != 1:
        n = len(optimizer.param_groups)
        raise RaynasError(f"a search in stages needs an optimizer with one group of parameters, got {n}")
    optimizer.state.clear()
    optimizer.param_groups[0]["params"] = list(parameters)


@torch.no_grad()
def inherit(old: Supernet, new: Supernet) -> None:
    """Give a wider supernet the weights of a narrower one: channel i is a copy of channel i modulo the old width.

    DrNAS draws the copied channels at random; which they are does not matter.
    """
    state = old.state_dict()
    for name, tensor in new.state_dict().items():
        if name in state:
            tensor.copy_(_repeated(state[name], tensor.shape).to(tensor))


def _repeated(tensor: Tensor, shape: torch.Size) -> Tensor:
    for dim, size in enumerate(shape):
        if tensor.shape[dim] != size:
            tensor = tensor.index_select(dim, torch.arange(size, device=tensor.device) % tensor.shape[dim])
    return tensor
