"""State of an optimizer, to be loaded by one whose settings need not be those that it was saved with."""

from collections.abc import Collection, Mapping
from typing import Any

import torch

IMPLEMENTATION = ("foreach", "fused")
"""Settings that say how torch computes a step: those of the device here."""


def with_settings_of(
    optimizer: torch.optim.Optimizer, state: Mapping[str, Any], own: Collection[str] = IMPLEMENTATION
) -> dict[str, Any]:
    """Return a state with some settings of the optimizer that is to load it.

    Before it is loaded: by these settings torch decides where numbers of the state are.

    Args:
        optimizer: the optimizer.
        state: from ``state_dict``, perhaps of a training on another device.
        own: names of the settings to keep.
    """
    groups = state["param_groups"]
    if len(groups) == len(optimizer.param_groups):  # otherwise torch says so when it is loaded
        groups = [
            {**saved, **{name: group[name] for name in own if name in group}}
            for saved, group in zip(groups, optimizer.param_groups, strict=True)
        ]
    return {**state, "param_groups": groups}
