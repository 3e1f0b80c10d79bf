"""A table as plain text."""

from collections.abc import Sequence


def text_table(titles: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Return the lines of a table whose columns are as wide as their longest text, two spaces apart.

    Args:
        titles: of the columns.
        rows: ``(n, len(titles))``.
        left: number of columns, from the first, that are aligned to the left; the others, numbers, to the right.
    """
    lines = [list(titles), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(titles))]
    return [
        "  ".join(
            text.ljust(width) if i < left else text.rjust(width)
            for i, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
