from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import check_grad

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.search_spaces import NASBench201
from raynas.strategies import NASBOWL
from raynas.strategies.predictors import graph_posterior
from raynas.strategies.predictors.graph_posterior import (
    GraphPosterior,
    Motif,
    SmoothPredictor,
    WeisfeilerLehmanPredictor,
    _fitted,
    _loss,
)
from raynas.strategies.predictors.nas_bowl import motifs
from raynas.strategies.predictors.predictor_search import Pool, PredictorSearcher
from raynas.strategies.predictors.weisfeiler_lehman import Patterns
from raynas.testing import ToySpace, run_trials

SPACE = NASBench201()
RNG = np.random.default_rng(0)


def sampled(n: int, seed: int = 0) -> list[Architecture]:
    rng = np.random.default_rng(seed)
    return [SPACE.sample(rng) for _ in range(n)]


def pool(archs: Sequence[Architecture]) -> Pool:
    found = Pool(SPACE, lambda arch: arch)
    found.add(archs)
    return found


def kernel(archs: Sequence[Architecture], max_height: int) -> NDArray[Any]:
    """The normalised optimal assignment kernel, by its definition."""
    patterns = Patterns()
    counts = [sum(patterns.counts(SPACE.operation_graph(arch), max_height), Counter[int]()) for arch in archs]
    shared = np.array([[(a & b).total() for b in counts] for a in counts], dtype=float)
    return shared / np.sqrt(np.outer(shared.diagonal(), shared.diagonal()))


def check_posterior(predictor: WeisfeilerLehmanPredictor, given: Pool, observed: Sequence[int], targets: Any) -> None:
    """Equations 2.25 and 2.26 of Rasmussen and Williams, as they stand."""
    covariance = predictor.variance * kernel(given.archs, predictor.height)
    inverse = np.linalg.inv(covariance[np.ix_(observed, observed)] + predictor.noise * np.eye(len(observed)))
    across = covariance[observed]
    belief = predictor.believe(given, targets, [], RNG)
    np.testing.assert_allclose(belief.mean, across.T @ inverse @ targets, atol=1e-6)
    variance = predictor.variance - np.einsum("ij,ik,kj->j", across, inverse, across)
    np.testing.assert_allclose(belief.spread, np.sqrt(np.maximum(variance, 1e-12)), atol=1e-6)


def test_the_posterior_is_the_textbook_s() -> None:
    given, predictor, observed = pool(sampled(40)), WeisfeilerLehmanPredictor(), [3, 17, 30, 5, 5]
    targets = RNG.standard_normal(6)
    predictor.fit(given, observed, targets[:5], RNG)
    predictor.add(given, 8)
    check_posterior(predictor, given, [*observed, 8], targets)


def test_a_pool_may_grow_or_be_another() -> None:
    archs, predictor = pool(sampled(40)).archs, WeisfeilerLehmanPredictor()
    targets = RNG.standard_normal(4)
    given = pool(archs[:20])
    predictor.fit(given, [1, 7, 15], targets[:3], RNG)
    given.add(archs[20:])
    predictor.extend(given, [1, 7, 15])
    predictor.add(given, 25)
    check_posterior(predictor, given, [1, 7, 15, 25], targets)
    other = pool(archs[::-2])
    predictor.fit(other, [1, 2, 3, 4], targets, RNG)
    check_posterior(predictor, other, [1, 2, 3, 4], targets)


def test_the_smooth_kernel_is_that_of_the_counts() -> None:
    """The posterior is that of the sum of Matérn kernels at the distances of normalised counts, pool grown or not."""
    given, predictor = pool(sampled(40)), SmoothPredictor(max_height=1)
    archs, targets = given.archs[:], RNG.standard_normal(5)
    given = pool(archs[:25])
    predictor.fit(given, [1, 7, 15, 20], targets[:4], RNG)
    given.add(archs[25:])
    predictor.extend(given, [1, 7, 15, 20])
    predictor.add(given, 30)
    patterns, squared = Patterns(), []
    counted = [patterns.counts(SPACE.operation_graph(arch), 1) for arch in archs]
    for height, scale in enumerate(predictor._scales):
        gram = np.array([[sum(a[height][p] * b[height][p] for p in a[height]) for b in counted] for a in counted])
        lengths = np.sqrt(gram.diagonal())
        squared.append(np.maximum(2 - 2 * gram / np.outer(lengths, lengths), 0) / scale**2)
    covariance, observed = predictor.kernel.at(squared), [1, 7, 15, 20, 30]
    across = covariance[observed]
    inverse = np.linalg.inv(across[:, observed] + predictor.noise * np.eye(5))
    belief = predictor.believe(given, targets, [], RNG)
    np.testing.assert_allclose(belief.mean, across.T @ inverse @ targets, atol=1e-5)
    variance = predictor.variance - np.einsum("ij,ik,kj->j", across, inverse, across)
    np.testing.assert_allclose(belief.spread, np.sqrt(np.maximum(variance, 1e-12)), atol=1e-5)


def test_the_smooth_kernel_learns_what_matters() -> None:
    """Two 3x3 convolutions in a row are good: from 80 cells the order of 300 others."""
    given = pool(sampled(400))
    graphs = [SPACE.operation_graph(arch) for arch in given.archs]
    scores = np.array(
        [sum(graph.labels[s] == graph.labels[t] == "nor_conv_3x3" for s, t in graph.edges) for graph in graphs],
        dtype=float,
    )
    targets = (scores - scores.mean()) / scores.std()
    predictor = SmoothPredictor()
    predictor.fit(given, range(80), targets[:80], RNG)
    belief = predictor.believe(given, targets[:80], [], RNG)
    assert np.corrcoef(belief.mean[80:], targets[80:])[0, 1] > 0.8


def test_patterns_of_candidates_that_are_gone_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_posterior, "_MAX_PATTERNS", 1500)
    predictor, sizes = WeisfeilerLehmanPredictor(), []
    for seed in range(6):
        given, targets = pool(sampled(40, seed)), RNG.standard_normal(4)
        predictor.fit(given, [1, 2, 3, 4], targets, RNG)
        check_posterior(predictor, given, [1, 2, 3, 4], targets)
        sizes.append(len(predictor.embedding.patterns))
    assert max(sizes) < 2500 and any(b < a for a, b in pairwise(sizes)) and any(b > a for a, b in pairwise(sizes))


def test_what_is_pending_is_not_doubted_again() -> None:
    given, predictor = pool(sampled(30)), WeisfeilerLehmanPredictor()
    targets = np.array([1.0, -1.0, 0.0])
    predictor.fit(given, [0, 10, 20], targets, RNG)
    before, after = (predictor.believe(given, targets, pending, RNG) for pending in ([], [5]))
    np.testing.assert_array_equal(after.mean, before.mean)
    assert after.spread[5] < 0.7 * before.spread[5] and (after.spread <= before.spread).all()


def test_the_likelihood_has_the_gradient_that_it_says() -> None:
    values, squares, theta = RNG.random(10), RNG.random(10), np.array([0.3, -1.0])
    error = check_grad(lambda t: _loss(t, values, squares)[0], lambda t: _loss(t, values, squares)[1], theta)
    assert error < 1e-5


def test_the_likelihood_is_that_of_the_targets() -> None:
    """By the eigenvalues it is what it is by the matrix (Rasmussen and Williams, equation 2.30), less the prior."""
    gram, targets = kernel(sampled(12), 1), RNG.standard_normal(12)
    fit = _fitted(gram, targets)
    covariance = fit.scale * gram + fit.noise * np.eye(12)
    prior = 0.5 * (np.log(fit.scale) / 2) ** 2 + 0.5 * ((np.log(fit.noise) / 2 - np.log(0.1)) / 0.5) ** 2
    expected = 0.5 * targets @ np.linalg.solve(covariance, targets) + 0.5 * np.linalg.slogdet(covariance)[1] + prior
    assert fit.loss == pytest.approx(expected, rel=1e-4)


def n_of(arch: Architecture, pattern: str) -> int:
    patterns = Patterns()
    counts = patterns.counts(SPACE.operation_graph(arch), 1)
    return sum(c for own in counts for number, c in own.items() if patterns.text(number) == pattern)


def test_the_likelihood_chooses_the_height() -> None:
    """What operations there are needs height 0, what follows upon what needs height 1."""
    given = pool(sampled(150))
    sizes = np.array([len(SPACE.operation_graph(arch)) for arch in given.archs])
    # Rows are divided by their lengths, so this is linear in them.
    alone = np.array([n_of(arch, "nor_conv_3x3") for arch in given.archs]) / np.sqrt(sizes)
    joined = np.array(
        [
            sum({graph.labels[s], graph.labels[t]} == {"nor_conv_3x3", "nor_conv_1x1"} for s, t in graph.edges)
            for graph in map(SPACE.operation_graph, given.archs)
        ],
        dtype=float,
    )
    heights = []
    for scores in (alone, joined):
        predictor = WeisfeilerLehmanPredictor(max_height=2)
        predictor.fit(given, range(len(given)), (scores - scores.mean()) / scores.std(), RNG)
        heights.append(predictor.height)
    assert heights == [0, 1]


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


def test_an_effect_is_the_derivative_of_the_prediction() -> None:
    """By finite differences, of the subtree kernel, whose counts can be moved a little."""
    given, predictor = pool(sampled(25)), WeisfeilerLehmanPredictor(1, assignment=False)
    targets = RNG.standard_normal(20)
    observed = list(range(20))
    predictor.fit(given, observed, targets, RNG)
    rows = predictor._raw[np.arange(20)].toarray()
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    solved = np.linalg.solve(predictor.variance * unit @ unit.T + predictor.noise * np.eye(20), targets)

    def predicted(row: NDArray[Any]) -> float:
        return float(predictor.variance * row @ unit.T @ solved / np.linalg.norm(row))

    effects = {motif.text: motif for motif in predictor.motifs(observed, targets)}
    patterns, columns = predictor.embedding.patterns, predictor._columns
    for place in range(0, rows.shape[1], 5):
        has_it = [row for row in rows if row[place] > 0]
        if has_it:
            step = 1e-5 * np.eye(rows.shape[1])[place]
            slopes = [(predicted(row + step) - predicted(row - step)) / 2e-5 for row in has_it]
            motif = effects[patterns.text(predictor.embedding.pattern_of[columns[place]])]
            assert motif.effect == pytest.approx(np.mean(slopes), abs=1e-6) and motif.n_observed == len(has_it)


def test_motifs_need_scores() -> None:
    told = [Evaluation(arch, {}, status="failed") for arch in sampled(5)] + evaluations(lambda arch: 1.0, 1)
    with pytest.raises(ValueError, match="at least 2 evaluations with a score, got 1"):
        motifs(SPACE, told)


def test_motifs_are_plain_values() -> None:
    assert Motif("conv", 0, 0.5, 3) == Motif("conv", 0, 0.5, 3)


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
        predictor = searcher._scored.predictor
        assert isinstance(predictor, kind)
        assert isinstance(predictor, GraphPosterior)
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
