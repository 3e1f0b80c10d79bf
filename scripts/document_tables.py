"""Write the tables of the documents from those in the code: spaces, strategies, schedulers, methods, trials, metrics.

python scripts/document_tables.py            rewrite README.md and docs/*.md
python scripts/document_tables.py --check    fail where one differs
"""

import inspect
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"(?P<begin><!-- table: (?P<name>\w+) -->\n).*?(?P<end><!-- end of table -->)", re.DOTALL)


def main() -> int:
    """Rewrite the documents, or say which are out of date."""
    old = []
    for path in documents():
        before = path.read_text(encoding="utf-8")
        after = with_tables(before)
        if after != before and "--check" in sys.argv[1:]:
            old.append(path.name)
        elif after != before:
            path.write_text(after, encoding="utf-8")
    if old:
        print(f"out of date: {', '.join(old)}; run python scripts/document_tables.py", file=sys.stderr)
    return int(bool(old))


def documents() -> list[Path]:
    """Return the documents that may hold tables."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def with_tables(text: str) -> str:
    """Return ``text`` with every marked table made from the code.

    Raises:
        KeyError: if a marker names a table that there is not.
    """
    made = tables()
    return BLOCK.sub(lambda block: block["begin"] + made[block["name"]] + block["end"], text)


def tables() -> dict[str, str]:
    """Return each table as Markdown, by the name in its marker."""
    from raynas.metrics import METRICS
    from raynas.oneshot import ONESHOT
    from raynas.search_spaces import SEARCH_SPACES
    from raynas.strategies import EARLY_STOPPING, STRATEGIES
    from raynas.trials import TRIALS

    catalogues: dict[str, Mapping[str, type]] = {
        "spaces": SEARCH_SPACES,
        "strategies": STRATEGIES,
        "early_stopping": EARLY_STOPPING,
        "oneshot": ONESHOT,
        "trials": TRIALS,
    }
    metrics = [
        (m.name, m.unit, "lower" if m.mode == "min" else "higher", m.needs if m.measure else "a trial")
        for m in METRICS.values()
    ]
    made = {
        name: _table(("name", "class", "summary"), [(key, cls.__name__, _summary(cls)) for key, cls in entries.items()])
        for name, entries in catalogues.items()
    }
    return {**made, "metrics": _table(("name", "unit", "better", "measured from"), metrics)}


def _summary(cls: type) -> str:
    """Return the first paragraph of a class's docstring on one line."""
    return " ".join((inspect.getdoc(cls) or "").split("\n\n")[0].replace("``", "`").split())


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *([f"`{name}`", *rest] for name, *rest in rows)]
    return "".join(f"| {' | '.join(line)} |\n".replace("|  |", "| |") for line in lines)


if __name__ == "__main__":
    sys.exit(main())
