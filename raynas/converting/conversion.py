"""Conversion of a given model into the space of its smaller relatives."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import get_args

import torch
from torch import Tensor, nn

from raynas.converting import importance as criteria
from raynas.converting.activations import activation
from raynas.converting.blocks import BlockRow
from raynas.converting.groups import Group, groups_of
from raynas.converting.images import images_in
from raynas.converting.kernels import ConvKernel, kernels_of
from raynas.converting.layer import Plan
from raynas.converting.members import Wiring
from raynas.converting.options import Range
from raynas.converting.resolutions import ResolutionCheck
from raynas.converting.space import ConvertedSpace, Fixed
from raynas.converting.ties import ties_of
from raynas.converting.traced import Traced
from raynas.converting.verification import Verification, smallest
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
    groups = groups_of(model, traced.dimensions, traced.reads)
    widths = {group.name: options for group in groups if not group.atom.frozen and (options := wanted.widths(group))}
    rows = {row.name: row for row in traced.rows}
    depths = {name: options for name, row in rows.items() if (options := wanted.depths(row))}
    kernels = {kernel.name: kernel for kernel in kernels_of(model, traced.dimensions)}
    sizes = {name: found for name, kernel in kernels.items() if (found := wanted.kernel_sizes(kernel, model))}
    images = images_in(model, example)
    wanted.check(groups, rows.values(), kernels.values(), images)
    sides = wanted.resolutions(images)
    by_name = {group.name: group for group in groups}
    checked = Verification(wiring, example, traced.trace)
    in_rows = {name: (rows[name], options) for name, options in depths.items()}
    ties = {tie: wanted.widths(tie) for tie in ties_of([group for group in groups if not group.atom.frozen])}
    failed = checked.failures({by_name[name]: options for name, options in widths.items()}, in_rows, ties)
    failed |= checked.failures_of_kernels({kernels[name]: options for name, options in sizes.items()})
    sizes = {name: options for name, options in sizes.items() if name not in failed}
    by_name |= {tie.name: tie for tie in checked.tied}
    widths |= {tie.name: options for tie, options in checked.tied.items()}
    tied = {each.name for tie in checked.tied for each in tie.tied} - failed.keys()
    widths = {name: widths[name] for name in by_name if name in widths and name not in {*failed, *tied}}
    depths = {name: options for name, options in depths.items() if name not in failed}
    varying = {name: by_name[name] for name in widths}
    if sides:
        narrowest = smallest({varying[name]: options for name, options in widths.items()})
        ResolutionCheck(wiring, example, traced.trace).check(sides, narrowest)
    plan = Plan(
        wiring,
        widths,
        varying,
        depths,
        {name: rows[name] for name in depths},
        criteria.orders(list(varying.values()), _score(model, importance, losses, batches), seed),
        {name: _block_order(rows[name], traced.block_scores[name], importance, seed) for name in depths},
        sizes,
        {name: kernels[name] for name in sizes},
        {resized.name: options for resized, options in sides.items()},
        {resized.name: resized for resized in sides},
    )
    left = [group for group in groups if group.name not in {*widths, *tied} and not wanted.is_kept(group)]
    fixed = _all_fixed(left, rows, kernels, failed)
    if not plan.options:
        listed = "; ".join(f"{each.name}: {each.reason}" for each in fixed[:5])
        why = listed or ("all of it is kept" if groups or rows else "it has no layers with weights")
        raise SpaceError(f"nothing in {type(model).__name__} can vary ({why})")
    return ConvertedSpace(plan, example_inputs if inputs is None else inputs, fixed, type(model).__name__)


def _all_fixed(
    groups: Sequence[Group], rows: Mapping[str, BlockRow], kernels: Mapping[str, ConvKernel], failed: Mapping[str, str]
) -> list[Fixed]:
    """Return what could not be made variable, with the reason, but for what nobody expects to vary."""
    told = [group for group in groups if group.atom.frozen not in EXPECTED or group.kind == "heads"]
    fixed = [_fixed(group, failed) for group in told]
    fixed += [Fixed(name, tuple(rows[name].paths), failed[name]) for name in rows if name in failed]
    fixed += [Fixed(name, (kernels[name].layer,), failed[name]) for name in kernels if name in failed]
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
