"""Write the tables of the README from those in the code: spaces, strategies, schedulers, methods, trials and metrics.

python scripts/readme_tables.py            rewrite README.md
python scripts/readme_tables.py --check    fail where it differs
"""

import inspect
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"(?P<begin><!-- table: (?P<name>\w+) -->\n).*?(?P<end><!-- end of table -->)", re.DOTALL)


def main() -> int:
    """Rewrite the README, or say that it is out of date."""
    before = README.read_text(encoding="utf-8")
    after = with_tables(before)
    if "--check" in sys.argv[1:]:
        if after != before:
            print("README.md is out of date: run python scripts/readme_tables.py", file=sys.stderr)
        return int(after != before)
    README.write_text(after, encoding="utf-8")
    return 0


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
