from typing import Any

import numpy as np
import pytest

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.search_spaces import NASBench201
from raynas.strategies import NASBOWL
from raynas.strategies.predictors.graph_kernels import GraphKernelPredictor, SmoothPredictor
from raynas.strategies.predictors.nas_bowl import motifs
from raynas.strategies.predictors.searcher import PredictorSearcher
from raynas.strategies.predictors.weisfeiler_lehman import Patterns
from raynas.strategies.predictors.wl_predictor import WeisfeilerLehmanPredictor
from raynas.testing import ToySpace, run_trials

SPACE = NASBench201()


def sampled(n: int, seed: int = 0) -> list[Architecture]:
    rng = np.random.default_rng(seed)
    return [SPACE.sample(rng) for _ in range(n)]


def n_of(arch: Architecture, pattern: str) -> int:
    patterns = Patterns()
    counts = patterns.counts(SPACE.operation_graph(arch), 1)
    return sum(c for own in counts for number, c in own.items() if patterns.text(number) == pattern)


def evaluations(score: Any, n: int = 80) -> list[Evaluation]:
    return [Evaluation(arch, {"accuracy": float(score(arch))}) for arch in sampled(n)]


def test_motifs_are_what_the_score_was_made_of() -> None:
    told = evaluations(lambda arch: n_of(arch, "nor_conv_3x3") - n_of(arch, "avg_pool_3x3"))
    found = motifs(SPACE, told, max_height=1)
    effects = {motif.text: motif.effect for motif in found}
    alone = {motif.text: motif.effect for motif in found if motif.height == 0}
    assert max(alone, key=alone.__getitem__) == "nor_conv_3x3" and min(alone, key=alone.__getitem__) == "avg_pool_3x3"
    assert list(effects.values()) == sorted(effects.values(), reverse=True)
    assert "nor_conv_3x3" in found[0].text and "avg_pool_3x3" in found[-1].text
    worse = motifs(SPACE, told, Goal.parse("min:accuracy"), max_height=1)
    assert "avg_pool_3x3" in worse[0].text


def test_motifs_of_height_one_say_what_follows() -> None:
    follows = "(input) → nor_conv_3x3 → (output)"
    found = motifs(SPACE, evaluations(lambda arch: n_of(arch, follows), 200), max_height=1)
    assert found[0].text == follows and found[0].height == 1
    has_it = [arch for arch in set(sampled(200)) if n_of(arch, follows)]
    assert found[0].n_observed == len(has_it)


def test_motifs_need_scores() -> None:
    told = [Evaluation(arch, {}, status="failed") for arch in sampled(5)] + evaluations(lambda arch: 1.0, 1)
    with pytest.raises(ValueError, match="at least 2 evaluations with a score, got 1"):
        motifs(SPACE, told)


def test_the_settings_reach_the_predictor() -> None:
    space = ToySpace(n_layers=3, n_options=3)
    for kernel_name, kind, assignment in (
        ("assignment", WeisfeilerLehmanPredictor, True),
        ("smooth", SmoothPredictor, False),
        ("subtree", WeisfeilerLehmanPredictor, False),
    ):
        searcher = NASBOWL(n_initial=4, max_height=1, kernel=kernel_name).searcher(space, costs={})  # type: ignore[arg-type]
        run_trials(searcher, space.result, 6)
        assert isinstance(searcher, PredictorSearcher)
        predictor = searcher.objective.predictor
        assert isinstance(predictor, kind)
        assert isinstance(predictor, GraphKernelPredictor)
        assert (predictor.embedding.max_height, predictor.embedding.assignment) == (1, assignment)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_height": -1}, "max_height must be at least 0, got -1"),
        ({"kernel": "rbf"}, "kernel must be one of assignment, smooth, subtree, got 'rbf'"),
        ({"acquisition": "best"}, "acquisition must be one of"),
        ({"zero_cost": ("synflow",), "zero_cost_as": "features"}, "zero_cost_as of NASBOWL must be one of"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NASBOWL(**settings)
