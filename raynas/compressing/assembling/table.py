"""The table of a library of blocks."""

from collections.abc import Mapping
from math import nan

from raynas.compressing.assembling.alternatives import GIVEN
from raynas.compressing.assembling.folder import Record
from raynas.views.text_table import text_table


def table_of(given: Record, records: Mapping[str, Mapping[str, Record]]) -> str:
    """Return a row for each alternative, and a line for each that a block does not have.

    Args:
        given: scores and costs of the given model.
        records: of the alternatives, by block and name.
    """
    titles = ["block", "alternative", "error", *given.scores, *given.costs]
    rows = [["", GIVEN, "", *map(_short, given.scores.values()), *map(_short, given.costs.values())]]
    refused = []
    for path, of_block in records.items():
        for name, record in of_block.items():
            if record.refused:
                refused.append(f"{path} has no {name}: {record.refused}")
                continue
            scores = [record.error, *(record.scores.get(n, nan) for n in given.scores)]
            costs = [f"{record.costs[n]:+.4g}" if n in record.costs else "" for n in given.costs]
            rows.append([path, name, *map(_short, scores), *costs])
    return "\n".join([*text_table(titles, rows, left=2), *refused])


def _short(value: float) -> str:
    return f"{value:.4g}"
