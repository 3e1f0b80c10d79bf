"""A compression as text, as JSON, and as a page."""

import json
from functools import partial

from raynas.analysis import DecisionWorth
from raynas.compressing.page import page_of
from raynas.compressing.result import Compressed
from raynas.compressing.tables import (
    by_chance,
    compared_scores,
    measured_limits,
    members_table,
    others,
    state,
    tested,
    verdicts,
    worth_table,
)
from raynas.core.evaluation import Evaluation
from raynas.files.replacing import write_whole
from raynas.views.amounts import epochs
from raynas.views.report import write_pages
from raynas.views.report.tables import Table
from raynas.views.text_table import text_table

TEXT, JSON = "compressed.txt", "compressed.json"


def as_text(found: Compressed) -> str:
    """Render what was found, what it is compared with, and what cheap scores told."""
    if found.candidates is None:
        return f"{found.space.name}: {state(found)}"
    best = found.goal.best(found.result.candidates)
    lines = [found.result.why_none]
    if best:
        lines = [
            f"{found.space.name}: the result after {epochs(best.fidelity)} of recovery is {best.arch.to_json()}",
            "",
        ]
        lines += [*_lines(members_table(found, best)), *tested(found)]
        lines += ["", *told] if (told := verdicts(found)) else []
    for title, worth in compared_scores(found):
        lines += ["", f"{title}:", *(f"  {line}" for line in _lines(worth_table(worth, found))), by_chance(worth)]
    if found.limits_met:
        lines += ["", measured_limits(found)]
    if found.exported:
        lines += ["", f"{', '.join(found.exported.files)} in {found.exported.directory}"]
    return "\n".join(lines)


def _lines(table: Table) -> list[str]:
    return text_table(table.titles, table.rows)


def as_json(found: Compressed) -> dict[str, object]:
    """Return the same facts in types of JSON."""
    done = found.candidates is not None
    best = found.goal.best(found.result.candidates) if done else None
    return {
        "interrupted": found.interrupted,
        "space": found.space.name,
        "constraints": [str(c) for c in found.goal.constraints] if done else [],
        "given": dict(found.given),
        "best": _evaluation(best),
        "why_none": "" if best or not done else found.result.why_none,
        "compared": {name: _evaluation(e) for name, e in others(found).items()} if done else {},
        "worth": [_of(each) for each in found.worth()] if done else [],
        "worth_after_one_epoch": [_of(each) for each in found.worth_early()] if done else [],
        "on_test": {name: dict(metrics) for name, metrics in found.on_test.items()},
        "limits_met": dict(found.limits_met),
        "files": list(found.exported.files) if found.exported else [],
    }


def _evaluation(e: Evaluation | None) -> dict[str, object] | None:
    if e is None:
        return None
    metrics = {name: float(value) for name, value in e.metrics.items()}
    return {
        "trial": e.trial,
        "key": e.arch.key,
        "architecture": e.arch.to_config(),
        "metrics": metrics,
        "epochs": e.fidelity,
    }


def _of(each: DecisionWorth) -> dict[str, object]:
    return {
        "score": each.name,
        "n": each.spearman.n,
        "spearman": each.spearman.rho,
        "kendall": each.kendall,
        "k": each.k,
        "precision": each.precision,
        "regret": each.regret,
        "chance": each.chance,
    }


def write(found: Compressed) -> None:
    """Write the findings so far as text, JSON and a report page.

    Raises:
        OSError: if a file cannot be written.
    """
    write_whole(found.path / TEXT, f"{as_text(found)}\n")
    write_whole(found.path / JSON, json.dumps(as_json(found), indent=2) + "\n")
    if found.candidates is not None:
        write_pages(partial(page_of, found), found.path)
