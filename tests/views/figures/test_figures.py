"""Figures of plotly."""

import json
from typing import Any

import pytest
from plotly.graph_objects import Figure

from raynas.analysis import (
    cheap_scores,
    compared,
    front,
    history,
    hypervolume_history,
    importance,
    option_shares,
    parallel_coordinates,
    predictions,
    survival,
)
from raynas.metrics import read_goal
from raynas.views.figures import (
    agreement_figure,
    correlations_figure,
    front_figure,
    history_figure,
    hypervolume_figure,
    importance_figure,
    parallel_figure,
    shares_figure,
    survival_figure,
)
from raynas.views.figures.style import MAX_LABEL, label, plain
from tests.analysis.trials import archived, evaluation, many

GOAL = read_goal("accuracy", ["params <= 250", "params <= 1000 soft"]).against({"accuracy": 0.6, "params": 150.0})
TRIALS = [*many(40), evaluation("stopped", 0.9, status="stopped", params=100.0)]


def drawn(make: Any, *data: Any) -> Any:
    return Figure(make(*data))  # refuses what plotly does not know


def names(figure: Any) -> list[str]:
    return [trace.name for trace in figure.data]


def test_front() -> None:
    data = front(TRIALS, GOAL, compared(GOAL)[0], others={"random": many(10, seed=1)})
    figure = drawn(front_figure, data, {("search", "00001"): "op conv"})
    roles = [trace.meta for trace in figure.data]
    assert roles.count("front") == roles.count("baseline") == 1 and "earlier" in roles
    assert {"finished", "breaks a limit", "stopped", "random, finished", "Pareto front", "baseline"} <= {*names(figure)}
    assert [(shape.x0, shape.line.dash) for shape in figure.layout.shapes] == [(250, "dash"), (1000, "dot")]
    steps = next(trace for trace in figure.data if trace.meta == "front")
    assert list(zip(steps.x, steps.y, strict=True)) == list(data.front) and steps.line.shape == "hv"
    shown = {row[1]: text for trace in figure.data if trace.meta == "points" and trace.name == "finished"
             for row, text in zip(trace.customdata, trace.text, strict=True)}  # fmt: skip
    assert shown.get(1, "trial 00001 op conv").endswith("op conv")


def test_course() -> None:
    figure = drawn(history_figure, history(TRIALS, GOAL))
    assert names(figure) == ["stopped", "finished", "best so far"]
    assert list(figure.data[2].y) == sorted(figure.data[2].y)
    volume = hypervolume_history(TRIALS, GOAL)
    assert volume and list(drawn(hypervolume_figure, volume).data[0].y) == list(volume.values)


def test_decisions() -> None:
    figure = drawn(shares_figure, option_shares(TRIALS))
    assert figure.layout.yaxis.ticktext[0] == "op = conv" and len(figure.data[0].z) == 10
    bars = drawn(importance_figure, importance(TRIALS, GOAL)).data[0]
    assert bars.text[0] == "op" and bars.error_x.array[0] > 0
    lines = drawn(parallel_figure, parallel_coordinates(TRIALS, GOAL)).data[0]
    assert [d.label for d in lines.dimensions] == ["op", "depth", "kernel", "width", "params", "accuracy"]
    assert list(lines.dimensions[3].ticktext) == ["–", "16", "32"]


def test_cheap_scores_and_rungs() -> None:
    archive = archived([("finished", [0.1 * i, 0.2 * i]) for i in range(1, 7)] + [("stopped", [0.1])])
    figure = drawn(correlations_figure, cheap_scores(archive, GOAL))
    assert names(figure) == ["fidelity"] and figure.data[0].error_x.array[0] >= 0
    assert [bar.name for bar in drawn(survival_figure, survival(archive)).data] == ["reached it", "stopped there"]
    again = [e.measured_again({"params": 1.1 * e.metrics["params"]}) for e in TRIALS]
    (score,) = predictions(again, GOAL)
    assert drawn(agreement_figure, score).layout.xaxis.title.text == "params in the search"


def test_names_are_no_markup_and_have_room() -> None:
    assert plain("<b>a & b") == "&lt;b&gt;a &amp; b"
    assert len(label("x" * 99)) == MAX_LABEL
    wild = [evaluation(str(i), i / 9, {"<a href='x:y'>": f"<b>{i % 3}"}, params=i) for i in range(1, 30)]
    for figure in (
        drawn(shares_figure, option_shares(wild)),
        drawn(parallel_figure, parallel_coordinates(wild, GOAL)),
        drawn(importance_figure, importance(wild, GOAL)),
    ):
        assert "<a " not in json.dumps(figure.to_plotly_json(), default=list)


@pytest.mark.parametrize("count", [10, 4000])
def test_many_points_are_drawn_by_webgl(count: int) -> None:
    data = front([evaluation(str(i), i / 9, params=i) for i in range(1, count)], GOAL, compared(GOAL)[0])
    assert drawn(front_figure, data).data[0].type == ("scattergl" if count > 3000 else "scatter")
