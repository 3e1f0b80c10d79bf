"""Ranges in which a part of a converted model may vary."""

from collections.abc import Sequence

from raynas.errors import SpaceError


class Width:
    """Widths of a group of channels, heads or hidden features.

    Args:
        fractions: shares of the given width, each above 0 and at most 1; the whole width is always among the options.

    Raises:
        SpaceError: if a share is out of range, or there is none.
    """

    def __init__(self, *fractions: float) -> None:
        if not fractions or not all(0 < fraction <= 1 for fraction in fractions):
            raise SpaceError(
                f"Width needs shares of the given width in (0, 1], such as Width(0.5, 1.0); got {fractions}"
            )
        self.fractions = fractions

    def options(self, size: int, divisor: int) -> Sequence[int]:
        """Return the widths, the given one first; all but ``size`` are multiples of the divisor.

        Args:
            size: the given width.
            divisor: of the widths.
        """
        rounded = {max(divisor, round(fraction * size / divisor) * divisor) for fraction in self.fractions}
        return sorted({width for width in rounded if width < size} | {size}, reverse=True)


class Kernel:
    """Sizes of kernels, which shrink to their middle.

    Args:
        sizes: odd numbers; the given size is always among the options, and larger ones are left out.

    Raises:
        SpaceError: if a size is even or not positive, or there is none.
    """

    def __init__(self, *sizes: int) -> None:
        if not sizes or not all(isinstance(size, int) and size > 0 and size % 2 for size in sizes):
            raise SpaceError(f"Kernel needs odd sizes, such as Kernel(3, 5, 7); got {sizes}")
        self.sizes = sizes

    def options(self, size: int, least: int) -> Sequence[int]:
        """Return the sizes, the given one first.

        Args:
            size: the given one.
            least: the smallest one that keeps the size of the output.
        """
        return sorted({each for each in self.sizes if least <= each < size} | {size}, reverse=True)


class Resolution:
    """Resolutions with which a model computes: members shrink their images first.

    Args:
        sides: of the images in pixels, the shorter one where height and width differ; the other keeps the ratio. That
            of the example is always among the options.

    Raises:
        SpaceError: if a side is no positive number, or there is none.
    """

    def __init__(self, *sides: int) -> None:
        if not sides or not all(isinstance(side, int) and side > 0 for side in sides):
            raise SpaceError(f"Resolution needs numbers of pixels, such as Resolution(160, 192, 224); got {sides}")
        self.sides = sides

    def options(self, size: int) -> Sequence[int]:
        """Return the sides, the given one first.

        Args:
            size: the side of the example.

        Raises:
            SpaceError: if a side is larger than that of the example.
        """
        if max(self.sides) > size:
            raise SpaceError(
                f"the images of the example have {size} pixels, fewer than the {max(self.sides)} of the Resolution: "
                "the largest member is the given model, so convert it with an example of the largest resolution"
            )
        return sorted({*self.sides, size}, reverse=True)


class Depth:
    """Numbers of blocks that are kept of a row of equal ones.

    Args:
        depths: the numbers; the given one is always among the options. None for 1 (0 if the container
            has other blocks) to the given one.

    Raises:
        SpaceError: if a number is negative.
    """

    def __init__(self, *depths: int) -> None:
        if not all(isinstance(depth, int) and depth >= 0 for depth in depths):
            raise SpaceError(f"Depth needs numbers of blocks, such as Depth(6, 12); got {depths}")
        self.depths = depths

    def options(self, size: int, least: int) -> Sequence[int]:
        """Return the depths, the given one first.

        Args:
            size: the given depth.
            least: the smallest one that is possible.

        Raises:
            SpaceError: if a depth is out of range.
        """
        wrong = [depth for depth in self.depths if not least <= depth <= size]
        if wrong:
            raise SpaceError(f"a row of {size} blocks can have a depth of {least} to {size}, got {wrong[0]}")
        return sorted({*(self.depths or range(least, size)), size}, reverse=True)


Range = Width | Depth | Kernel | Resolution
"""Range in which a part of a model may vary."""
