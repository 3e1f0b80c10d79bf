"""Varying: what of a model varies, as it was asked for and as far as the model's code allows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from raynas.converting.blocks import BlockRow
from raynas.converting.groups import Group, groups_of
from raynas.converting.images import Image, images_in
from raynas.converting.kernels import ConvKernel, kernels_of
from raynas.converting.ties import ties_of
from raynas.converting.traced import Traced
from raynas.converting.verification import Verification, smallest
from raynas.converting.wanted import Wanted
from raynas.core.inputs import Arguments
from raynas.nn.dimensions.expressions import Kept


@dataclass(frozen=True)
class Parts:
    """The parts of a model that have a size.

    Args:
        groups: of channels, heads or features; also those that cannot vary.
        rows: of blocks, by name of the decision.
        kernels: of convolutions, by name of the decision.
        images: that it takes.
    """

    groups: Sequence[Group]
    rows: Mapping[str, BlockRow]
    kernels: Mapping[str, ConvKernel]
    images: Sequence[Image]

    @classmethod
    def of(cls, model: nn.Module, traced: Traced, example: Arguments) -> "Parts":
        """Find the parts of a model in its run on an example."""
        return cls(
            groups=groups_of(model, traced.dimensions, traced.reads),
            rows={row.name: row for row in traced.rows},
            kernels={kernel.name: kernel for kernel in kernels_of(model, traced.dimensions)},
            images=images_in(model, example),
        )

    @property
    def free(self) -> list[Group]:
        """The groups that the run of the model lets vary."""
        return [group for group in self.groups if not group.atom.frozen]


@dataclass(frozen=True)
class Varying:
    """Options of the parts that vary, by name of the decision.

    Args:
        widths: of groups.
        groups: those groups, some with others that are tied to them.
        depths: of rows of blocks.
        kernel_sizes: of kernels.
        tied: names of the groups that vary with others.
        failed: reasons why parts that were to vary do not.
    """

    widths: Mapping[str, Sequence[int]]
    groups: Mapping[str, Group]
    depths: Mapping[str, Sequence[int]]
    kernel_sizes: Mapping[str, Sequence[int]]
    tied: frozenset[str] = frozenset()
    failed: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def asked(cls, parts: Parts, wanted: Wanted, model: nn.Module) -> "Varying":
        """Return what the user wants to vary."""
        widths = {group.name: options for group in parts.free if (options := wanted.widths(group))}
        return cls(
            widths=widths,
            groups={group.name: group for group in parts.free if group.name in widths},
            depths={name: options for name, row in parts.rows.items() if (options := wanted.depths(row))},
            kernel_sizes={
                name: options
                for name, kernel in parts.kernels.items()
                if (options := wanted.kernel_sizes(kernel, model))
            },
        )

    def verified(self, parts: Parts, wanted: Wanted, checked: Verification) -> "Varying":
        """Return what is left where the model's code was asked too; ties take the place of groups that need them."""
        ties = {tie: wanted.widths(tie) for tie in ties_of(parts.free)}
        rows = {name: (parts.rows[name], options) for name, options in self.depths.items()}
        failed = checked.failures({self.groups[name]: options for name, options in self.widths.items()}, rows, ties)
        failed |= checked.failures_of_kernels(
            {parts.kernels[name]: options for name, options in self.kernel_sizes.items()}
        )
        tied = frozenset(each.name for tie in checked.tied for each in tie.tied if each.name not in failed)
        # A tie has the name, and so the place, of its first group.
        by_name = {group.name: group for group in (*parts.groups, *checked.tied)}
        widths = {**self.widths, **{tie.name: options for tie, options in checked.tied.items()}}
        varying = [name for name in by_name if name in widths and name not in {*failed, *tied}]
        return Varying(
            widths={name: widths[name] for name in varying},
            groups={name: by_name[name] for name in varying},
            depths={name: options for name, options in self.depths.items() if name not in failed},
            kernel_sizes={name: options for name, options in self.kernel_sizes.items() if name not in failed},
            tied=tied,
            failed=failed,
        )

    @property
    def narrowest(self) -> Kept:
        """The indices that the narrowest member keeps."""
        return smallest({self.groups[name]: options for name, options in self.widths.items()})
