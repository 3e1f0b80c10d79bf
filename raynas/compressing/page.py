"""A compression as a report page."""

from collections.abc import Iterator
from dataclasses import replace

from raynas import analysis
from raynas.analysis import CheapScore
from raynas.compressing.result import Compressed
from raynas.compressing.tables import (
    by_chance,
    compared_scores,
    measured_limits,
    members_table,
    state,
    tested,
    verdicts,
    worth_table,
)
from raynas.views.amounts import epochs
from raynas.views.figures import correlations_figure, front_figure
from raynas.views.report.blocks import Block, Chart, Facts, Page, Section, Text
from raynas.views.report.front_data import front_data, hover_texts
from raynas.views.report.tables import decisions_of
from raynas.views.report.winner_picture import winner_picture


def page_of(found: Compressed) -> Page:
    """Return the report of a compression whose candidates are trained."""
    sections = {
        "The result": _result(found),
        "Trade-offs": _trade_offs(found),
        "Scores before recovery": _cheap_scores(found),
        "Settings": _settings(found),
    }
    built = {title: tuple(blocks) for title, blocks in sections.items()}
    limits = "".join(f"; {c}" for c in found.goal.constraints)
    aims = ", ".join(f"{o.mode}imise {o.metric}" for o in found.goal.objectives)
    return Page(
        title=f"{found.space.name}, compressed",
        lead=f"{state(found).capitalize()}. Goal: {aims}{limits}.",
        sections=tuple(Section(title=title, blocks=blocks) for title, blocks in built.items() if blocks),
    )


def _result(found: Compressed) -> Iterator[Block]:
    best = found.goal.best(found.result.candidates)
    if best is None:
        yield Text(text=found.result.why_none, strong=True)
        return
    yield Text(text=f"Trial {best.trial}, key {best.arch.key}, after {epochs(best.fidelity)} of recovery.", strong=True)
    for line in verdicts(found):
        yield Text(text=line, strong=True)
    yield members_table(found, best)
    for line in tested(found):
        yield Text(text=line)
    if found.limits_met:
        yield Text(text=measured_limits(found))
    if picture := winner_picture(found.space, best.arch, found.path):
        yield picture
    yield Facts(rows=tuple(decisions_of(best)))
    if found.exported:
        yield Text(text=f"{', '.join(found.exported.files)} in {found.exported.directory}")


def _trade_offs(found: Compressed) -> Iterator[Block]:
    goal = replace(found.goal, baseline={"divergence": 0.0, **found.given})
    searches = {analysis.SEARCH: found.funnel.stages[-1].result}
    searches |= {"to compare with": found.compared} if found.compared else {}
    by_source = {name: each.evaluations for name, each in searches.items()}
    measured = {name for each in by_source.values() for e in each for name in e.metrics}
    across = [o for o in analysis.compared(goal) if o.metric in measured]
    if not across:
        return
    yield Text(
        text="Candidates and members to compare with; the baseline is the given model. Choose the axes; point at a "
        "member to see its decisions."
    )
    own, *others = by_source
    front = analysis.front(by_source[own], goal, across[0], others={name: by_source[name] for name in others})
    figure = front_figure(front, hover_texts(by_source))
    yield Chart(name="front", figure=figure, data=front_data(by_source, goal))


def _cheap_scores(found: Compressed) -> Iterator[Block]:
    metric = found.goal.first.metric
    for i, (title, worth) in enumerate(compared_scores(found)):
        yield Text(text=f"{title}:", strong=True)
        scores = [
            CheapScore(name=w.name, kind="stage", against=metric, trials=(), pairs=(), correlation=w.spearman)
            for w in worth
        ]
        if any(w.spearman.rho is not None for w in worth):
            yield Chart(name=f"correlations{i}", figure=correlations_figure(scores))
        yield worth_table(worth, found)
        yield Text(text=by_chance(worth))


def _settings(found: Compressed) -> Iterator[Block]:
    stages = found.funnel.stages
    rows = [(f"stage {s.number}", f"{len(s.result.evaluations)} members, {s.result.path}") for s in stages]
    yield Facts(rows=(("recovery", found.recovery.description), *rows))
