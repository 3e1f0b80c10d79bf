"""Figures that a result draws."""

import dataclasses

import pytest

from raynas.core.result import SearchResult
from raynas.errors import RaynasError
from raynas.views.result_plots import ResultPlots
from tests.views.report.searches import TRIALS, searched


def plotted(result: SearchResult) -> SearchResult:
    return dataclasses.replace(result, plots=ResultPlots(result.space, result.goal, result.archive))


def test_a_result_plots_itself() -> None:
    result = plotted(searched([*TRIALS, *TRIALS, *TRIALS, *TRIALS, *TRIALS]))
    assert result.plot_front().layout.xaxis.title.text == "latency_ms"
    assert result.plot_front("params").layout.xaxis.title.text == "params"
    assert result.plot_history().layout.xaxis.title.text == "trials"
    assert result.plot_hypervolume().layout.yaxis.title.text == "hypervolume"
    assert result.plot_parallel_coordinates().data[0].type == "parcoords"
    assert result.plot_importance().data[0].type == "bar"
    assert result.plot_rank_correlations().data[0].name == "zero-cost"
    assert result.plot_option_shares().data[0].type == "heatmap"
    assert result.plot_survival().data[0].name == "reached it"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("plot_front", "no trial has accuracy and another metric"),
        ("plot_history", "no trial ended"),
        ("plot_importance", "no trial ended"),
        ("plot_rank_correlations", "no trial has a cheap score"),
        ("plot_survival", "no trial was stopped early"),
    ],
)
def test_a_plot_that_cannot_be_is_refused(name: str, why: str) -> None:
    with pytest.raises(RaynasError, match=why):
        getattr(plotted(searched([])), name)()


def test_reasons_name_what_there_is() -> None:
    with pytest.raises(ValueError, match="latency_ms"):
        plotted(searched()).plot_front("latency")
    with pytest.raises(RaynasError, match="4 trials are too few to say"):
        plotted(searched()).plot_importance()
    with pytest.raises(RaynasError, match="measured again"):
        plotted(searched()).plot_predictions()
    with pytest.raises(RaynasError, match="not returned by"):
        searched().plot_front()
