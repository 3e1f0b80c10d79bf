"""Tables of what ``convert_models.py`` found."""

from collections.abc import Mapping, Sequence
from typing import Any

from scripts.bench.conversion_checks import CLOSE_CHECKS
from scripts.bench.outputs import TOLERANCE
from scripts.bench.pruning_peers import PEERS

TOOLS = ("raynas", *PEERS)

Row = Mapping[str, Any]
Rows = Mapping[tuple[str, str], Row]
"""Rows by model and tool."""

HEAD = ("model", "params", "CPU s", "widths", "heads", "depths", "share", "smallest", "largest equal", "members")


def report(rows: Sequence[Row]) -> str:
    """Return the tables, and the reasons of what is fixed or failed."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    found = {(row["model"], row["tool"]): row for row in rows}
    peers = [tool for tool in PEERS if any(row["tool"] == tool for row in rows)]
    lines = ["raynas\n", *_table(HEAD, [[name, *_cells(found.get((name, "raynas")))] for name in models])]
    if peers:
        cells = [[name, *(_peer_cell(found.get((name, peer))) for peer in peers)] for name in models]
        lines += ["", "Others: decisions (CPU s), samples that ran, params of the smallest network, is it right\n"]
        lines += _table(["model", *peers], cells)
        lines += ["", "Models by tool\n", *_summary(models, [tool for tool in TOOLS if tool in peers], found)]
    lines += _reasons(models, found)
    return "\n".join(lines) + "\n"


def _table(head: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *cells)]


def _cells(row: Row | None) -> list[str]:
    """Return the cells of a model: params to the last column of the table."""
    if row is None or "passed" not in row:
        why = "not run" if row is None else "not installed" if "missing" in row else "FAILED"
        return [*[""] * (len(HEAD) - 2), why]
    counts = [str(row[name]) for name in ("widths", "heads", "depths")]
    shares = [f"{row[name]:.0%}" for name in ("share", "smallest")]
    largest = "yes" if row["largest"] <= TOLERANCE and row["equal_costs"] else f"NO: {row['largest']:.0e}"
    wanted = {check: row["closely" if check in CLOSE_CHECKS else "members"] for check in row["passed"]}
    failed = [f"{check} {n} of {wanted[check]}" for check, n in row["passed"].items() if n < wanted[check]]
    members = ", ".join(failed) or f"all {row['members']}"
    return [f"{row['params']:,}", f"{row['seconds']:.1f}", *counts, *shares, largest, members]


def _peer_cell(row: Row | None) -> str:
    if row is None:
        return ""
    state = _state(row)
    if state in ("not installed", "nothing varies"):
        return state
    if state == "fails":
        return f"no: {row['reason'][:60]}"
    equal = "" if row.get("largest", 0) <= TOLERANCE else ", largest differs"
    right = "right" if state == "right" else f"WRONG by {row['gap']:.0e}"
    samples = f"{row['ran']} of {row['samples']} ran"
    return f"{row['decisions']} ({row['seconds']:.1f}), {samples}, {row['smallest']:.0%}{equal}, {right}"


STATES = ("right", "wrong", "fails", "nothing varies", "not installed")


def _state(row: Row) -> str:
    """Return what a library made of a model, one of ``STATES``."""
    if "missing" in row:
        return "not installed"
    if not row.get("decisions", 1) or "any configurable" in row.get("reason", ""):
        return "nothing varies"
    if "gap" not in row:
        return "fails"
    right = row["gap"] <= TOLERANCE and row["ran"] == row["samples"] and row.get("largest", 0) <= TOLERANCE
    return "right" if right else "wrong"


def _summary(models: Sequence[str], peers: Sequence[str], found: Rows) -> list[str]:
    """Return a table with a line for each library: how many models are in which state, and decisions on those."""
    lines = []
    for peer in peers:
        rows = {name: found[name, peer] for name in models if (name, peer) in found}
        states = [_state(row) for row in rows.values()]
        right = [name for name, row in rows.items() if _state(row) == "right"]
        decisions = sum(rows[name]["decisions"] for name in right)
        ours = sum(_n_decisions(found.get((name, "raynas"))) for name in right)
        lines.append([peer, str(len(rows)), *(str(states.count(s)) for s in STATES), f"{decisions} / {ours}"])
    return _table(["tool", "models", *STATES, "decisions where right / of raynas"], lines)


def _n_decisions(row: Row | None) -> int:
    return sum((row or {}).get(kind, 0) for kind in ("widths", "heads", "depths"))


def _reasons(models: Sequence[str], found: Rows) -> list[str]:
    lines = ["", "What raynas left fixed, or did wrong\n"]
    for name in models:
        row = found.get((name, "raynas"), {})
        told = [row["reason"]] if "reason" in row else []
        told += [f"{check}: {reason}" for check, reason in row.get("reasons", {}).items()]
        by_reason: dict[str, list[str]] = {}
        for group, reason in row.get("fixed", ()):
            by_reason.setdefault(reason, []).append(group)
        told += [f"{len(groups)} fixed, such as `{groups[0]}`: {reason}" for reason, groups in by_reason.items()]
        lines += [f"- {name}: {each}" for each in told]
    return lines
