"""The dimensions that an operation of ATen ties together."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from raynas.nn.dimensions import channel_rules, layer_rules  # noqa: F401  (their rules are found in the registry)
from raynas.nn.dimensions.registry import RULES
from raynas.nn.dimensions.tensor_rules import pointwise
from raynas.nn.dimensions.tracing import Trace, tensors_in

UNIFORM = ("empty", "zeros", "ones", "full", "scalar_tensor")
"""Operations that make a constant whose numbers are all alike, or are written later."""


def apply(trace: Trace, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    """Give the results of an operation their dimensions, and tie those of its inputs."""
    name = func._schema.name.removeprefix("aten::")
    rule = RULES.get(name) or RULES.get(name.removesuffix("_"))
    if rule is None and torch.Tag.pointwise in func.tags:
        rule = pointwise
    if not any(True for _ in tensors_in((args, kwargs))):
        for tensor in tensors_in(result):
            if name in UNIFORM:
                trace.put_free(tensor)
        return
    if rule is None:
        trace.give_up(name, (args, kwargs), result)
    else:
        rule(trace, args, kwargs, result)
