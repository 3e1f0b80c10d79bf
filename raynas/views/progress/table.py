"""Progress as a table of at most 22 lines, for a terminal of 24."""

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from raynas.analysis import COSTS, known_metrics, own_metrics
from raynas.core.goal import Goal
from raynas.views.amounts import amount, describe, duration, figures, title_of
from raynas.views.progress.state import SearchState, goal_line, time_line

MAX_RUNNING = 6
"""Number of running trials that are listed."""

SLOW_HINT = "max_trial_seconds limits slow trials."


def progress_table(state: SearchState, name: str, goal: Goal, hint: str) -> RenderableType:
    """Return the state of a search as a table.

    Args:
        state: of the search.
        name: of the search space.
        goal: of the search.
        hint: the last line, until the search has ended.
    """
    facts = Table.grid(padding=(0, 1, 0, 0), expand=True)
    facts.add_column(style="cyan", no_wrap=True, width=9)
    facts.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    facts.add_row("search", Text(goal_line(name, goal)))
    facts.add_row("trials", _bar(state))
    failures = [("failed", failure) for failure in list(state.failures)[-2:]]
    for label, text in [*_count_lines(state), *_best_lines(state, goal), *failures]:
        facts.add_row(label, Text(text))
    has_ended = state.n_ended >= state.num_samples
    last = f"{hint} {SLOW_HINT}" if state.slow else hint
    return Group(facts, *_running_table(state, goal), Text("" if has_ended else last, style="dim"))


def _bar(state: SearchState) -> Table:
    bar = Table.grid(padding=(0, 1))
    bar.add_row(ProgressBar(state.num_samples, state.n_ended, width=24), time_line(state))
    return bar


def _count_lines(state: SearchState) -> list[tuple[str, str]]:
    counts = state.counts
    ends = ", ".join(f"{counts[status]} {status}" for status in ("finished", "stopped", "failed"))
    lines = [("", f"{ends}, {len(state.running)} running")]
    if state.n_before:
        lines.append(("", f"{state.n_before} ended in earlier sessions"))
    if counts["refused"] or counts["duplicate"]:
        text = f"{counts['refused']} broke a constraint, {counts['duplicate']} were known already"
        lines.append(("skipped", text))
    if state.doubts:
        figures = ", ".join(f"{n} of {metric}" for metric, n in state.doubts.items())
        lines.append(("doubtful", f"{figures}; the last: {state.last_doubt}"))
    if counts["repaired"]:
        lines.append(("repaired", f"{counts['repaired']} proposals were changed to meet the constraints"))
    return lines


def _best_lines(state: SearchState, goal: Goal) -> list[tuple[str, str]]:
    best = state.best(goal)
    metrics = [o.metric for o in goal.objectives]
    base = figures(goal.baseline, goal, [*metrics, *(c.metric for c in goal.constraints)])
    baseline = [("baseline", base)] if base else []
    if not best:
        return [("best", "nothing yet that was trained to its end and meets the constraints"), *baseline]
    if len(metrics) == 1:
        return [("best", describe(best[0], goal, metrics)), *baseline]
    ends = [max(best, key=lambda e, i=i: goal.scores(e)[i]) for i in range(len(metrics))[:3]]  # type: ignore[misc]
    return [
        ("front", f"{len(best)} architecture{'s' if len(best) > 1 else ''}; the best in each objective:"),
        *(("", describe(end, goal, [metric, *metrics])) for metric, end in zip(metrics, ends, strict=False)),
        *baseline,
    ]


def _running_table(state: SearchState, goal: Goal) -> list[RenderableType]:
    if not state.running:
        return []
    asked = list(dict.fromkeys([*(o.metric for o in goal.objectives), *own_metrics(goal)]))
    costs = [cost for cost in COSTS if any(cost in running.metrics for running in state.running.values())]
    metrics = list(dict.fromkeys([*asked, *costs]))[: max(4, len(asked))]
    table = Table(box=None, header_style="cyan", padding=(0, 2, 0, 0), show_edge=False)
    table.add_column("running", no_wrap=True, min_width=9)
    known = known_metrics(goal)
    for title in ("epoch", *(title_of(m, known) for m in metrics), "for"):
        table.add_column(title, justify="right", no_wrap=True)
    slow = state.slow
    for trial, running in list(state.running.items())[:MAX_RUNNING]:
        values = [amount(m, running.metrics[m], known) if m in running.metrics else "" for m in metrics]
        times = f" ({slow[trial]:.0f}x the usual)" if trial in slow else ""
        table.add_row(Text(trial), str(running.fidelity), *values, duration(state.clock() - running.since) + times)
    more = len(state.running) - MAX_RUNNING
    return [Text(), table, *([Text(f"and {more} more")] if more > 0 else [])]
