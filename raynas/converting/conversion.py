"""Conversion of a given model into the space of its smaller relatives."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import get_args

import torch
from torch import Tensor, nn

from raynas.converting import importance as criteria
from raynas.converting.activations import activation
from raynas.converting.blocks import BlockRow
from raynas.converting.groups import Group
from raynas.converting.layer import Plan
from raynas.converting.members import Wiring
from raynas.converting.options import Range
from raynas.converting.resolutions import ResolutionCheck
from raynas.converting.space import ConvertedSpace, Fixed
from raynas.converting.traced import Traced
from raynas.converting.varying import Parts, Varying
from raynas.converting.verification import Verification
from raynas.converting.wanted import Wanted
from raynas.core.inputs import Arguments, Inputs, InputSpec
from raynas.errors import SpaceError
from raynas.nn.dimensions.tracing import INPUT

EXPECTED = ("kernel", "its rows are looked up by number", INPUT)
"""Reasons that nobody needs to be told, except for heads."""


def convert(
    model: nn.Module,
    example_inputs: Inputs,
    *,
    vary: Mapping[str, Range] | None = None,
    keep: Sequence[str] = (),
    divisor: int = 8,
    importance: criteria.Importance = "l1",
    losses: Callable[[nn.Module], Iterable[Tensor]] | None = None,
    batches: Iterable[Inputs] | None = None,
    inputs: InputSpec | None = None,
    seed: int = 0,
) -> ConvertedSpace:
    """Turn a model into the space of its smaller relatives, which inherit its weights.

    The model runs once on the example, to find which channels depend on each other. Then members with one group reduced
    are built and run; a group that the model's code does not let vary is kept whole, see ``space.fixed``. Where it
    computes the width of attention heads from the residual width and their number, both vary as one, in a fixed ratio.

    Args:
        model: any module with its weights; it is not changed, and must not be changed later.
        example_inputs: a batch of what it takes: a tensor, a tuple of positional or a mapping of keyword arguments.
        vary: by glob of names of decisions, or of layers, what may vary and how; None for all widths, to 0.5, 0.75 and
            1 times what they are, and all depths. Kernels of convolutions and resolutions of images vary only where
            they are named: ``{"input": Resolution(160, 192, 224)}``, or the name of an argument where the model takes
            several images. A layer is named for the width of its output, a module for all that its layers put out.
        keep: globs of what must not vary; a layer that is kept may still get fewer inputs.
        divisor: reduced widths are multiples of it; those of heads and of groups of a convolution are not.
        importance: which channels smaller members keep: "l1" (largest weights), "taylor" (largest first-order change of
            ``losses``), "activation" (largest mean absolute activation on ``batches``), or "random".
        losses: for "taylor", computes losses of the model on a few batches.
        batches: for "activation", inputs of the model, each as ``example_inputs``.
        inputs: description of the inputs; None for that of the example.
        seed: of random importance.

    Raises:
        SpaceError: if the model does not run on the example or with a resolution, a glob matches nothing, or nothing
            can vary.
    """
    example = Arguments.of(example_inputs)
    traced = Traced(model, example)
    wanted = Wanted(vary, keep, divisor)
    wiring = Wiring(model, traced.dimensions, traced.inputs_of)
    parts = Parts.of(model, traced, example)
    asked = Varying.asked(parts, wanted, model)
    wanted.check(parts.groups, parts.rows.values(), parts.kernels.values(), parts.images)
    sides = wanted.resolutions(parts.images)
    varying = asked.verified(parts, wanted, Verification(wiring, example, traced.trace))
    if sides:
        ResolutionCheck(wiring, example, traced.trace).check(sides, varying.narrowest)
    plan = Plan(
        wiring=wiring,
        widths=varying.widths,
        groups=varying.groups,
        depths=varying.depths,
        rows={name: parts.rows[name] for name in varying.depths},
        orders=criteria.orders(list(varying.groups.values()), _score(model, importance, losses, batches), seed),
        block_orders={
            name: _block_order(parts.rows[name], traced.block_scores[name], importance, seed) for name in varying.depths
        },
        kernel_sizes=varying.kernel_sizes,
        kernels={name: parts.kernels[name] for name in varying.kernel_sizes},
        resolutions={images.name: options for images, options in sides.items()},
        images={images.name: images for images in sides},
    )
    fixed = _all_fixed(parts, varying, wanted)
    if not plan.options:
        listed = "; ".join(f"{each.name}: {each.reason}" for each in fixed[:5])
        why = listed or ("all of it is kept" if parts.groups or parts.rows else "it has no layers with weights")
        raise SpaceError(f"nothing in {type(model).__name__} can vary ({why})")
    return ConvertedSpace(plan, example_inputs if inputs is None else inputs, fixed, type(model).__name__)


def _all_fixed(parts: Parts, varying: Varying, wanted: Wanted) -> list[Fixed]:
    """Return what could not be made variable, with the reason, but for what nobody expects to vary."""
    failed = varying.failed
    left = [group for group in parts.groups if group.name not in {*varying.widths, *varying.tied}]
    told = [group for group in left if group.atom.frozen not in EXPECTED or group.kind == "heads"]
    fixed = [_fixed(group, failed) for group in told if not wanted.is_kept(group)]
    fixed += [Fixed(name, tuple(row.paths), failed[name]) for name, row in parts.rows.items() if name in failed]
    fixed += [Fixed(name, (kernel.layer,), failed[name]) for name, kernel in parts.kernels.items() if name in failed]
    return fixed


def _score(
    model: nn.Module,
    importance: criteria.Importance,
    losses: Callable[[nn.Module], Iterable[Tensor]] | None,
    batches: Iterable[Inputs] | None,
) -> criteria.GroupScore | None:
    if importance not in (known := get_args(criteria.Importance)):
        raise SpaceError(f"importance must be one of {', '.join(map(repr, known))}, got {importance!r}")
    if (importance == "taylor") is (losses is None):
        raise SpaceError('importance="taylor" needs losses, a function of the model that gives losses of batches')
    if (importance == "activation") is (batches is None):
        raise SpaceError('importance="activation" needs batches, a few inputs of the model')
    if losses is not None:
        return criteria.taylor(model, losses(model))
    if batches is not None:
        return activation(model, batches)
    return criteria.l1 if importance == "l1" else None


def _block_order(row: BlockRow, scores: Sequence[float], importance: criteria.Importance, seed: int) -> Sequence[str]:
    if importance == "random":
        scores = torch.rand(len(row.blocks), generator=torch.Generator().manual_seed(seed)).tolist()
    return [path for _, path in sorted(zip(scores, row.paths, strict=True), key=lambda item: -item[0])]


def _fixed(group: Group, failed: Mapping[str, str]) -> Fixed:
    reason = failed.get(group.name) or group.atom.frozen or "no smaller width is a multiple of the divisor"
    return Fixed(group.name, tuple(group.layers), reason)
