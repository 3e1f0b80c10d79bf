"""A compression as text and as JSON."""

import json
from collections.abc import Mapping, Sequence

from raynas.analysis import DecisionWorth, known_metrics
from raynas.compressing.result import Compressed
from raynas.core.evaluation import Evaluation
from raynas.files.replacing import write_whole
from raynas.views.amounts import amount, title_of
from raynas.views.text_table import text_table

TEXT, JSON = "compressed.txt", "compressed.json"

SHOWN = (
    "divergence",
    "agreement",
    "accuracy",
    "loss",
    "macs",
    "params",
    "latency_ms",
    "size_mb",
    "inference_memory_mb",
)
"""Metrics of the table, where they are known, after those that the goal names."""


def as_text(found: Compressed) -> str:
    """Render what was found, what it is compared with, and what cheap scores told."""
    if found.candidates is None:
        at = found.funnel.stages[-1]
        return f"{found.space.name}: interrupted in stage {at.number} of {at.n_stages}; the same call continues"
    lines = [*_members(found)]
    epochs = found.recovery.epochs
    metric = found.goal.first.metric
    for title, worth in (
        (f"Scores before recovery against {metric} after {epochs} epochs of it", found.worth()),
        ("The same after one epoch, all candidates included", found.worth_early() if epochs > 1 else []),
    ):
        if worth:
            lines += ["", *_worth(title, worth, metric)]
    if found.limits_met:
        known = known_metrics(found.goal)
        met = (f"{limit}: {amount(limit.split()[0], value, known)}" for limit, value in found.limits_met.items())
        lines += ["", f"Measured on the network that was exported: {'; '.join(met)}."]
    if found.exported:
        lines += ["", f"{', '.join(found.exported.files)} in {found.exported.directory}"]
    return "\n".join(lines)


def _members(found: Compressed) -> list[str]:
    columns: dict[str, Mapping[str, float]] = {"given": {"divergence": 0.0, "agreement": 1.0, **found.given}}
    best = found.goal.best(found.result.candidates)
    if best is None:
        return [found.result.why_none]
    columns["result"] = best.metrics
    candidate = found.best_candidate
    compared = {"best candidate": candidate if candidate != best else None, **_compared(found)}
    columns |= {name: e.metrics for name, e in compared.items() if e is not None}
    known = known_metrics(found.goal)
    names = [n for n in dict.fromkeys([*found.goal.asked, *SHOWN]) if n in best.metrics]
    rows = [
        [title_of(n, known), *(amount(n, values[n], known) if n in values else "" for values in columns.values())]
        for n in names
    ]
    epochs = f"{best.fidelity} epochs of recovery"
    lines = [f"{found.space.name}: the result after {epochs} is {best.arch.to_json()}", ""]
    lines += text_table(("", *columns), rows)
    if found.on_test:
        for name, metrics in found.on_test.items():
            shown = ", ".join(f"{title_of(n, known)} {amount(n, v, known)}" for n, v in metrics.items())
            lines.append(f"On the test split, {name}: {shown}.")
    return [*lines, *_verdicts(found)]


def _compared(found: Compressed) -> dict[str, Evaluation | None]:
    random = found.random
    uniform = {"uniform width": found.of_uniform_width} if found.uniform else {}
    return {**uniform, **({f"best of {len(random)} random": random[0]} if random else {})}


def _verdicts(found: Compressed) -> list[str]:
    """Say how the best candidate compares with members that had as many epochs each."""
    first, candidate = found.goal.first, found.best_candidate
    told = []
    for name, other in _compared(found).items():
        if candidate is None or other is None:
            continue
        gap = first.sign * (candidate.metrics[first.metric] - other.metrics[first.metric])
        side = "better than" if gap > 0 else "NOT better than" if gap < 0 else "equal to"
        by = f" by {abs(gap):.4g} {first.metric}" if gap else ""
        told.append(f"The best candidate is {side} {name}{by}, at {found.recovery.epochs} epochs each; one training.")
    return ["", *told] if told else []


def _worth(title: str, worth: Sequence[DecisionWorth], metric: str) -> list[str]:
    n, k = worth[0].spearman.n, worth[0].k
    rows = [
        [
            each.name,
            str(each.spearman).partition(" (")[0],
            "" if each.kendall is None else f"{each.kendall:+.2f}",
            f"{each.precision:.0%}",
            f"{each.regret:.4g}",
        ]
        for each in worth
    ]
    head = ("score", "Spearman", "Kendall", f"precision at {k}", f"regret in {metric}")
    chance = f"A random choice has a precision of {k / n:.0%} and a regret of {worth[0].chance:.4g} on average."
    return [f"{title} ({n} members):", *(f"  {line}" for line in text_table(head, rows)), chance]


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
        "compared": {name: _evaluation(e) for name, e in _compared(found).items()} if done else {},
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
    """Write the findings so far as text and JSON.

    Raises:
        OSError: if a file cannot be written.
    """
    write_whole(found.path / TEXT, f"{as_text(found)}\n")
    write_whole(found.path / JSON, json.dumps(as_json(found), indent=2) + "\n")
