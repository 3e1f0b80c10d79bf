"""The sections of a report page, made from the findings of a search."""

from collections.abc import Iterator

from raynas import analysis
from raynas.views.amounts import amount, duration, epochs
from raynas.views.figures import (
    agreement_figure,
    correlations_figure,
    front_figure,
    history_figure,
    hypervolume_figure,
    importance_figure,
    option_weights_figure,
    parallel_figure,
    shared_accuracy_figure,
    shares_figure,
    survival_figure,
)
from raynas.views.figures.parallel import AXIS_WIDTH
from raynas.views.report.blocks import Block, Chart, Facts, Image, Page, Section, Text
from raynas.views.report.findings import Findings
from raynas.views.report.front_data import front_data, hover_texts
from raynas.views.report.settings_section import settings_blocks
from raynas.views.report.tables import (
    Table,
    comparison_table,
    count_rows,
    decisions_of,
    front_metrics,
    front_rows,
    measured_tables,
    metrics_table,
    reference_rows,
)

MAX_ROWS = 30
"""Maximum number of rows of a table; the CSV file has all."""

MAX_OPEN_ROWS = 40
"""Number of options beyond which the picture of their shares is folded."""

MAX_LINES = 2000
"""Maximum number of trials in parallel coordinates: the best of them."""

CHOSEN = (
    "Only trials that were trained to their end have both scores, and early stopping chose these by the first: over "
    "all architectures a score may be worth more."
)


def page_of(findings: Findings, picture: Image | None = None) -> Page:
    """Return the report of a search.

    Args:
        findings: of the search.
        picture: of the winner.
    """
    sections = {
        "The winner": _winner(findings, picture),
        "The search": _course(findings),
        "Shared weights": _shared_weights(findings),
        "Trade-offs": _trade_offs(findings),
        "Cheap scores": _cheap_scores(findings),
        "Importance of decisions": _importance(findings),
        "All trials": _trials(findings),
        "Cost": _cost(findings),
        "Notes": (Text(text=note) for note in findings.summary.notes),
        "Settings": settings_blocks(findings),
    }
    built = {title: tuple(blocks) for title, blocks in sections.items()}
    return Page(
        title=findings.summary.title,
        lead=_lead(findings),
        sections=tuple(Section(title=title, blocks=blocks) for title, blocks in built.items() if blocks),
    )


def _lead(findings: Findings) -> str:
    summary, n = findings.summary, len(findings.evaluations)
    state = "Running" if findings.is_running else "Interrupted" if summary.interrupted else "Ended"
    goal = ", ".join(f"{o.mode}imise {o.metric}" for o in findings.goal.objectives)
    limits = "".join(f"; {constraint}" for constraint in findings.goal.constraints)
    return f"{state} after {n} trials. Goal: {goal}{limits}."


def _winner(findings: Findings, picture: Image | None) -> Iterator[Block]:
    summary, best = findings.summary, findings.summary.best
    if best is None:
        yield Text(text=f"No architecture was found: {summary.why_none}", strong=True)
        return
    yield Text(text=f"Trial {best.trial}, key {best.arch.key}, trained for {epochs(best.fidelity)}.", strong=True)
    if picture:
        yield picture
    yield metrics_table(summary, best)
    yield Facts(rows=tuple(decisions_of(best)))
    for metric, table in measured_tables(summary).items():
        yield Text(text=f"{metric}, measured again at the end:", strong=True)
        yield table
    if summary.retrained is not None:
        shown = {m: v for m, v in summary.retrained.items() if m in ("test_accuracy", "test_loss", "epochs")}
        yield Text(text="The winner, trained to its end on all training data:", strong=True)
        yield Facts(rows=tuple((name, amount(name, value)) for name, value in shown.items()))
        yield Text(
            text="The search never saw the test data: this is the figure to quote. The validation score above is "
            "optimistic, because the winner was chosen by it."
        )


def _course(findings: Findings) -> Iterator[Block]:
    summary, evaluations, archive = findings.summary, findings.evaluations, findings.result.archive
    by = findings.sessions[-1].get("strategy", "") if findings.sessions else ""
    yield Facts(rows=(*((("strategy", str(by)),) if by else ()), *count_rows(summary)))
    if evaluations:
        yield Chart(name="history", figure=history_figure(analysis.history(evaluations, findings.goal)))
    rungs = analysis.survival(archive)
    if rungs.rungs:
        yield Text(text="Early stopping: trials that reached each rung.", strong=True)
        yield Chart(name="survival", figure=survival_figure(rungs))
        yield Table(
            titles=("epochs", "reached", "stopped there", "failed before"),
            rows=tuple((f"{r.fidelity}", f"{r.n_reached}", f"{r.n_stopped}", f"{r.n_failed}") for r in rungs.rungs),
        )
    if summary.comparison:
        yield Text(text=f"Against random search with {summary.comparison.budget}:", strong=True)
        yield comparison_table(summary, summary.comparison)
        yield Text(text=summary.comparison.verdict, strong=True)
    shares = analysis.option_shares(evaluations, findings.result.space, generation_size=findings.generation_size)
    if shares:
        chart = shares_figure(shares)
        folded = sum(len(s.options) for s in shares) > MAX_OPEN_ROWS
        yield Text(text="Share of each option over time: darker is more frequent.", strong=True)
        yield Chart(name="shares", figure=chart, folded=folded, title=f"{len(shares)} decisions")


def _shared_weights(findings: Findings) -> Iterator[Block]:
    trained = findings.shared_weights
    if trained is None:
        return
    yield Facts(rows=(("epochs", f"{trained.epochs[-1]}"), *_computed(trained.spending)))
    if any(accuracy is not None for accuracy in trained.accuracy):
        yield Text(text="Validation accuracy of networks that the method examined, with shared weights.", strong=True)
        yield Chart(name="shared_accuracy", figure=shared_accuracy_figure(trained))
    if trained.options:
        n_rows = sum(len(o.options) for o in trained.options)
        yield Text(text="Weight of each option after each epoch: darker is larger.", strong=True)
        yield Chart(
            name="option_weights",
            figure=option_weights_figure(trained),
            folded=n_rows > MAX_OPEN_ROWS,
            title=f"{len(trained.options)} decisions",
        )


def _trade_offs(findings: Findings) -> Iterator[Block]:
    summary, across = findings.summary, findings.compared
    if not across or not findings.evaluations:
        return
    yield Text(
        text="One front of all trials that finished within the limits, whichever search paid for them. Choose the "
        "axes; point at a trial to see its decisions."
    )
    hover = hover_texts(findings.by_source)
    figure = front_figure(findings.front(across[0]), hover)
    pictures = {f"{findings.goal.first.metric} against {m}": m for m, front in summary.fronts.items() if front}
    data = front_data(findings.by_source, findings.goal)
    yield Chart(name="front", figure=figure, pictures=pictures, data=data)
    volume = analysis.hypervolume_history(findings.evaluations, findings.goal)
    for other, front in summary.fronts.items():
        if front:
            metrics = front_metrics(summary, other, front)
            rows = [*front_rows(summary, metrics, front[:MAX_ROWS]), *reference_rows(summary, metrics).values()]
            more = f", the best {MAX_ROWS} of {len(front)}" if len(front) > MAX_ROWS else ""
            yield Text(text=f"Front of {findings.goal.first.metric} against {other}{more}:", strong=True)
            yield Table(titles=("trial", "key", *metrics), rows=tuple(rows))
    if volume and len(volume.objectives) > 1 and volume.values[-1] > 0:
        known = analysis.known_metrics(findings.goal)
        pairs = zip(volume.objectives, volume.reference, strict=True)
        worst = ", ".join(f"{o.metric} {amount(o.metric, value, known)}" for o, value in pairs)
        yield Text(text=f"Hypervolume over the trials, measured from the worst values: {worst}.", strong=True)
        yield Chart(name="hypervolume", figure=hypervolume_figure(volume))


def _cheap_scores(findings: Findings) -> Iterator[Block]:
    scores = findings.cheap_scores
    if not scores:
        return
    chosen = f" {CHOSEN}" if findings.summary.counts.get("stopped") else ""
    yield Text(text=f"Spearman's rank correlation with the final score, with its 95 % interval.{chosen}")
    if any(s.correlation.rho is not None for s in scores):
        yield Chart(name="correlations", figure=correlations_figure(scores))
    yield Table(
        titles=("cheap score", "rank correlation", "trials", "verdict"),
        rows=tuple(
            (s.name, f"{s.correlation}".partition(" (")[0], f"{s.correlation.n}", s.correlation.verdict) for s in scores
        ),
    )
    for i, score in enumerate(s for s in scores if s.kind == "predicted"):
        yield Text(text=f"{score.name}, against {score.against}:", strong=True)
        yield Chart(name=f"agreement{i}", figure=agreement_figure(score))


def _importance(findings: Findings) -> Iterator[Block]:
    found = findings.importance
    if found.reason:
        yield Text(text=f"{found.reason[0].upper()}{found.reason[1:]}.", strong=True)
    if not found.decisions:
        return
    yield Text(
        text=f"The share of the variance of {found.metric} that a random forest no longer explains, in trials that it "
        f"has not seen, once the decision is shuffled. {found.n_trials} trials, of whose variance it explains "
        f"{max(found.explained, 0):.0%}; ± is the standard deviation over {found.n_refits} refits."
    )
    yield Chart(name="importance", figure=importance_figure(found))
    rows = tuple((d.name, f"{d.mean:.3f}", f"± {d.spread:.3f}") for d in found.decisions[:MAX_ROWS])
    yield Table(titles=("decision", "importance", "spread"), rows=rows)


def _trials(findings: Findings) -> Iterator[Block]:
    full = [e for e in findings.evaluations if e.status == "finished"]
    shown = findings.goal.sort(full)[:MAX_LINES] if len(full) > MAX_LINES else full
    lines = analysis.parallel_coordinates(shown, findings.goal, findings.result.space)
    if not lines.lines:
        return
    less = f" The best {MAX_LINES} of {len(full)}." if len(full) > MAX_LINES else ""
    yield Text(text=f"Each line is a trial; drag along an axis to select some, and its name to move it.{less}")
    yield Chart(
        name="parallel",
        figure=parallel_figure(lines, findings.goal.first.mode),
        min_width=AXIS_WIDTH * len(lines.axes),
    )


def _cost(findings: Findings) -> Iterator[Block]:
    spent = {"": findings.spending}
    spent |= {f"{name}: ": analysis.spending(result.archive) for name, result in findings.others.items()}
    if findings.shared_weights:
        spent["shared weights: "] = findings.shared_weights.spending
    rows = [(f"{part}{what}", value) for part, took in spent.items() for what, value in _computed(took)]
    if not rows:
        yield Text(text="No trial said how long it computed.")
        return
    yield Facts(rows=(*rows, ("energy", "not measured")))
    yield Text(
        text="Time that trials computed, times the devices that they held; without the driver, waiting, and the "
        "winner's training to its end."
    )


def _computed(spent: analysis.Spending) -> Iterator[tuple[str, str]]:
    """Yield the rows of computing time and device hours; none if no trial said how long it computed."""
    if spent.n_timed:
        yield "computing time", f"{duration(spent.seconds)} in {spent.n_timed} of {spent.n_trials} trials"
        if not spent.device_hours:
            yield "device hours", "unknown: the archive does not say which devices a trial held"
        for device, hours in sorted(spent.device_hours.items()):
            yield f"{device.upper()} hours", f"{hours:.3g}"
