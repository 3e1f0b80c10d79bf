"""Arguments of ``convert`` that say what may vary."""

from collections.abc import Collection, Mapping, Sequence

from torch import nn

from raynas.converting.blocks import BlockRow
from raynas.converting.groups import Group, matches
from raynas.converting.images import Image, Images, named
from raynas.converting.kernels import ConvKernel, least_size
from raynas.converting.options import Depth, Kernel, Range, Resolution, Width
from raynas.errors import SpaceError, did_you_mean

DEFAULT_WIDTH = Width(0.5, 0.75, 1.0)


class Wanted:
    """Ranges of what may vary, and globs of what must not.

    Args:
        vary: ranges by glob; None for all widths and depths.
        keep: globs.
        divisor: of reduced widths.
    """

    def __init__(self, vary: Mapping[str, Range] | None, keep: Sequence[str], divisor: int) -> None:
        self.vary = vary
        self.keep = [keep] if isinstance(keep, str) else list(keep)
        self.divisor = divisor

    def is_kept(self, group: Group) -> bool:
        """Return True if the user wants the group to stay as it is."""
        named = self.vary is None or group.matches([p for p, v in self.vary.items() if isinstance(v, Width)])
        return group.matches(self.keep) or not named

    def widths(self, group: Group) -> Sequence[int]:
        """Return the options of a group; none if it is to stay, or can have no other width."""
        if self.is_kept(group):
            return ()
        given = [w for p, w in (self.vary or {}).items() if isinstance(w, Width) and group.matches([p])]
        options = (given[0] if given else DEFAULT_WIDTH).options(group.size, group.step(self.divisor))
        return options if len(options) > 1 else ()

    def depths(self, row: BlockRow) -> Sequence[int]:
        """Return the options of a row of blocks; none if it is to stay."""
        patterns = [p for p, v in (self.vary or {}).items() if isinstance(v, Depth) and _names(row, p)]
        if any(_names(row, pattern) for pattern in self.keep) or (self.vary is not None and not patterns):
            return ()
        given = self.vary[patterns[0]] if self.vary is not None else Depth()
        assert isinstance(given, Depth)
        options = given.options(len(row.blocks), row.least)
        return options if len(options) > 1 else ()

    def kernel_sizes(self, kernel: ConvKernel, model: nn.Module) -> Sequence[int]:
        """Return the options of a kernel; none if it is to stay, as it is unless it is named."""
        given = [v for p, v in (self.vary or {}).items() if isinstance(v, Kernel) and kernel.matches(p)]
        if not given or any(kernel.matches(pattern) for pattern in self.keep):
            return ()
        options = given[0].options(kernel.size, least_size(kernel, model.get_submodule(kernel.layer)))
        return options if len(options) > 1 else ()

    def resolutions(self, images: Sequence[Image]) -> dict[Images, Sequence[int]]:
        """Return the sides of images; none of those that are to stay, as they are unless they are named.

        Args:
            images: the arguments that are images.

        Raises:
            SpaceError: if a Resolution names none, or more than its example has pixels.
        """
        found: dict[Images, Sequence[int]] = {}
        for pattern, value in (self.vary or {}).items():
            if isinstance(value, Resolution):
                found_images = named(images, pattern)
                if not found_images:
                    raise SpaceError(f"{pattern!r} names no images of the model: {_images_listed(images)}")
                taken = [image for each in found for image in each.images]
                new = [each for each in found_images if each not in taken and not self._keeps(each, images)]
                options = value.options(new[0].side) if new else ()
                if len(options) > 1:
                    found[Images.of(new, images)] = options
        return found

    def _keeps(self, image: Image, images: Sequence[Image]) -> bool:
        return any(image in named(images, pattern) for pattern in self.keep)

    def check(
        self,
        groups: Sequence[Group],
        rows: Collection[BlockRow],
        kernels: Collection[ConvKernel],
        images: Sequence[Image],
    ) -> None:
        """Refuse a glob that matches nothing.

        Raises:
            SpaceError: naming it.
        """
        for pattern, value in (self.vary or {}).items():
            if isinstance(value, Kernel) and not any(kernel.matches(pattern) for kernel in kernels):
                raise SpaceError(f"{pattern!r} matches no convolution with an odd kernel above 1")
        names = [*(g.name for g in groups), *(path for g in groups for path in g.layers)]
        for pattern in (*(p for p, v in (self.vary or {}).items() if not isinstance(v, Resolution)), *self.keep):
            is_known = any(_names(row, pattern) for row in rows) or any(kernel.matches(pattern) for kernel in kernels)
            is_known = is_known or (pattern in self.keep and bool(named(images, pattern)))
            if not is_known and not any(matches(name, pattern) for name in names):
                known = [*names, *(row.name for row in rows)]
                hint = did_you_mean(pattern, dict.fromkeys(known))
                raise SpaceError(f"{pattern!r} matches no layer and no decision of the model{hint}")


def _names(row: BlockRow, pattern: str) -> bool:
    return matches(row.name, pattern) or row.container == pattern or matches(row.container, pattern)


def _images_listed(images: Sequence[Image]) -> str:
    if not images:
        return "none of its arguments is a tensor of real numbers of shape (batch, channels, height, width)"
    names = ", ".join(repr(image.name) for image in images)
    return f"it takes {names}; a glob such as '*' resizes several together" if len(images) > 1 else f"it takes {names}"
