"""The table of what varies in a converted model, and what does not."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from raynas.converting.groups import listed
from raynas.converting.layer import Plan
from raynas.views.text_table import text_table

SHARES = "A layer between two groups counts for both, so the shares add up to more than 100 %."


@dataclass(frozen=True)
class Row:
    """A decision of a converted space.

    Args:
        name: of the decision.
        layers: dotted paths of the layers in it, or of the blocks; names of the images that are resized.
        options: its options, the given one first.
        params: share of the model's parameters that are in these layers and vary with it, in [0, 1].
        macs: share of the model's multiply-adds that these layers compute, in [0, 1].
        tied: names of the groups that vary with it in a fixed ratio.
    """

    name: str
    layers: tuple[str, ...]
    options: tuple[int, ...]
    params: float
    macs: float
    tied: tuple[str, ...] = ()

    def texts(self) -> list[str]:
        """Return the cells of the table."""
        return [
            self.name,
            listed(self.layers),
            " ".join(map(str, self.options)),
            f"{self.params:.1%}",
            f"{self.macs:.1%}",
        ]


def rows_of(plan: Plan, macs: Mapping[str, int]) -> list[Row]:
    """Return the decisions of a converted space: widths in the order of the layers, kernels, depths and resolutions.

    Args:
        plan: what varies.
        macs: multiply-adds of each module without those in it, by dotted path.
    """
    model = plan.wiring.model
    n_params = sum(parameter.numel() for parameter in model.parameters())
    n_macs = sum(macs.values())

    def row(
        name: str,
        layers: Sequence[str],
        options: Sequence[int],
        tensors: Iterable[Tensor],
        *,
        inside: bool,
        tied: Iterable[str] = (),
    ) -> Row:
        counted = [n for path, n in macs.items() if path in layers or (inside and path.startswith(_below(layers)))]
        size = sum(tensor.numel() for tensor in {id(tensor): tensor for tensor in tensors}.values())
        return Row(
            name, tuple(layers), tuple(options), _share(size, n_params), _share(sum(counted), n_macs), tuple(tied)
        )

    rows = [
        row(
            name,
            group.layers,
            plan.widths[name],
            [slot.tensor for each in group.all for slot in each.slots],
            inside=False,
            tied=[each.name for each in group.tied],
        )
        for name, group in plan.groups.items()
    ]
    for name, kernel in plan.kernels.items():
        weight = model.get_submodule(kernel.layer).get_parameter("weight")
        rows.append(row(name, [kernel.layer], plan.kernel_sizes[name], [weight], inside=False))
    for name, blocks in plan.rows.items():
        tensors = [tensor for path in blocks.paths for tensor in model.get_submodule(path).parameters()]
        rows.append(row(name, blocks.paths, plan.depths[name], tensors, inside=True))
    for name, images in plan.images.items():
        resized = [image.name for image in images.images]
        rows.append(Row(name, tuple(resized), tuple(plan.resolutions[name]), 0.0, 1.0))
    return rows


def counted(plan: Plan) -> str:
    """Return the numbers of decisions by kind, such as "12 widths, 1 resolution"."""
    kinds = {"width": plan.widths, "kernel": plan.kernels, "depth": plan.rows, "resolution": plan.images}
    return ", ".join(f"{len(of)} {kind}{'s' * (len(of) > 1)}" for kind, of in kinds.items() if of)


def _below(paths: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{path}." for path in paths)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def as_text(heading: str, rows: Sequence[Row], fixed: Sequence[tuple[str, str]], max_rows: int | None = None) -> str:
    """Return the table.

    Args:
        heading: its first line.
        rows: the decisions.
        fixed: what cannot vary: name and reason.
        max_rows: number of decisions, and of what cannot vary, that are listed; those with the largest shares of
            multiply-adds. None for all.
    """
    shown = rows
    if max_rows is not None and len(rows) > max_rows:
        shown = sorted(sorted(rows, key=lambda row: -row.macs)[:max_rows], key=rows.index)
    lines = text_table(("group", "layers", "options", "params", "MACs"), [row.texts() for row in shown], left=3)
    lines = [heading, *(f"  {line}" for line in lines)]
    if len(shown) < len(rows):
        lines.append(f"  and {len(rows) - len(shown)} more with smaller shares: space.summary() has all")
    lines.append(f"  {SHARES}")
    lines += [f"  tied: {row.name} varies with {listed(row.tied)}, in a fixed ratio" for row in shown if row.tied]
    named = fixed[:max_rows]
    lines += [f"  fixed: {name}: {reason}" for name, reason in named]
    if len(named) < len(fixed):
        lines.append(f"  and {len(fixed) - len(named)} more that cannot vary: space.fixed has all")
    return "\n".join(lines)
