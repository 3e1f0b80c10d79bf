"""The Pareto figure among the images of TensorBoard."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tensorboard.compat.proto.summary_pb2 import Summary

from raynas.analysis import compared, front_of
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal, Objective
from raynas.views.pareto import draw_front, draw_references
from raynas.views.tensorboard.event_file import image

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"finished": "tab:blue", "stopped": "tab:orange", "failed": "tab:red"}


def pareto_figure(tag: str, evaluations: Sequence[Evaluation], goal: Goal) -> "list[Summary.Value]":
    """Return a picture of the first objective against other metrics (see ``compared``); none without these.

    Args:
        tag: of the picture.
        evaluations: all that ended.
        goal: its first objective is the vertical axis.
    """
    across = [o for o in compared(goal) if any(o.metric in e.metrics for e in evaluations)]
    if not across:
        return []
    # Importing matplotlib takes a third of a second, which no search should pay before its first trial; and no pyplot,
    # whose state is global.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(across), 4))
    figure.subplots_adjust(left=0.7 / figure.get_figwidth(), right=0.98, bottom=0.13, top=0.97)
    for axes, objective in zip(figure.subplots(1, len(across), squeeze=False)[0], across, strict=True):
        _draw_pair(axes, objective, evaluations, goal)
    canvas = FigureCanvasAgg(figure)
    png = io.BytesIO()
    canvas.print_png(png)
    return [image(tag, png.getvalue(), *canvas.get_width_height())]


def _draw_pair(axes: "Axes", across: Objective, evaluations: Sequence[Evaluation], goal: Goal) -> None:
    x, y = across.metric, goal.first.metric
    drawn = [e for e in evaluations if x in e.metrics and y in e.metrics]
    for status, colour in _COLOURS.items():
        points = [e.metrics for e in drawn if e.status == status]
        if points:
            axes.scatter([m[x] for m in points], [m[y] for m in points], s=12, c=colour, alpha=0.6, label=status)
    comparable = [e for e in drawn if e.status == "finished" and goal.violation(e) == 0]
    front = front_of([(e.metrics[x], e.metrics[y]) for e in comparable], across, goal.first)
    if front:
        draw_front(axes, front, across.mode)
    draw_references(axes, goal, x, y)
    axes.set(xlabel=x, ylabel=y)
    if not drawn:
        return
    low, high = min(e.metrics[x] for e in drawn), max(e.metrics[x] for e in drawn)
    if 0 < 10 * low <= high:
        axes.set_xscale("log")
    axes.legend(fontsize="small")
