"""The figure of the trials that survived each rung of early stopping."""

from raynas.analysis import Survival
from raynas.views.figures.style import BLUE, ORANGE, RED, Figure, figure


def survival_figure(survival: Survival) -> Figure:
    """Draw, for each rung, the trials that reached it, and those that were stopped or failed there."""
    rungs = survival.rungs
    x = [str(rung.fidelity) for rung in rungs]
    series = (
        ("reached it", [rung.n_reached for rung in rungs], BLUE),
        ("stopped there", [rung.n_stopped for rung in rungs], ORANGE),
        ("failed before", [rung.n_failed for rung in rungs], RED),
    )
    bars = [
        dict(
            type="bar",
            x=x,
            y=counts,
            name=name,
            marker={"color": colour},
            text=counts,
            textposition="outside",
            cliponaxis=False,
        )
        for name, counts, colour in series
        if any(counts)
    ]
    return figure(
        bars,
        x="epochs",
        y=f"trials, of {survival.n_trials}",
        height=300,
        xaxis={"type": "category"},
        barmode="group",
        bargap=0.25,
    )
