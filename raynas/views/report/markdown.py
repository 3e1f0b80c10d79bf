"""A report page as Markdown."""

import re
from collections.abc import Iterator, Sequence

from raynas.views.report.blocks import Block, Chart, Code, Facts, Image, Page, Text
from raynas.views.report.plot_names import plot_name
from raynas.views.report.tables import Table

_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|!~&$])")


def as_markdown(page: Page) -> str:
    """Return a report as Markdown with tables; pictures are files beside it."""
    lines = [f"# {plain(page.title)}", "", plain(page.lead), ""]
    for section in page.sections:
        lines += [f"## {section.title}", ""]
        for block in section.blocks:
            lines += [*_block(block), ""]
    return "\n".join(lines).replace("\n\n\n", "\n\n")


def plain(text: str) -> str:
    """Return a text that Markdown shows as it is, in one line: names from an archive are not to be read as markup."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split())).replace("\\<", "&lt;").replace("\\&", "&amp;")


def _block(block: Block) -> Iterator[str]:
    match block:
        case Text():
            yield f"**{plain(block.text)}**" if block.strong else plain(block.text)
        case Facts():
            yield from _table(("", ""), block.rows, right=False)
        case Table():
            yield from _table(block.titles, block.rows, right=True)
        case Code():
            yield from ([f"{plain(block.title)}:", ""] if block.title else [])
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", block.text)), default=0))
            yield from (fence, block.text.rstrip("\n"), fence)
        case Image():
            yield f"![{plain(block.alt)}]({block.name})"
        case Chart():
            for title, metric in block.pictures.items():
                yield from (f"![{plain(title)}]({plot_name(metric)})", "")


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]], *, right: bool) -> Iterator[str]:
    yield _row(titles)
    yield _row(["---" if i == 0 or not right else "---:" for i in range(len(titles))], is_plain=True)
    for row in rows:
        yield _row(row)


def _row(cells: Sequence[str], *, is_plain: bool = False) -> str:
    return f"| {' | '.join(cells if is_plain else map(plain, cells))} |"
