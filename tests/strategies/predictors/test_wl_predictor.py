from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import check_grad

from raynas.core.architecture import Architecture
from raynas.strategies.predictors import graph_kernels
from raynas.strategies.predictors.candidate_pool import CandidatePool
from raynas.strategies.predictors.weisfeiler_lehman import Patterns
from raynas.strategies.predictors.wl_predictor import (
    Motif,
    WeisfeilerLehmanPredictor,
    fitted_kernel,
    negative_log_posterior,
)
from tests.strategies.predictors.pools import CELLS, pool, sampled

RNG = np.random.default_rng(0)


def kernel(archs: Sequence[Architecture], max_height: int) -> NDArray[Any]:
    """The normalised optimal assignment kernel, by its definition."""
    patterns = Patterns()
    counts = [sum(patterns.counts(CELLS.operation_graph(arch), max_height), Counter[int]()) for arch in archs]
    shared = np.array([[(a & b).total() for b in counts] for a in counts], dtype=float)
    return shared / np.sqrt(np.outer(shared.diagonal(), shared.diagonal()))


def check_posterior(
    predictor: WeisfeilerLehmanPredictor, given: CandidatePool, observed: Sequence[int], targets: Any
) -> None:
    """Equations 2.25 and 2.26 of Rasmussen and Williams."""
    covariance = predictor.variance * kernel(given.archs, predictor.height)
    inverse = np.linalg.inv(covariance[np.ix_(observed, observed)] + predictor.noise * np.eye(len(observed)))
    across = covariance[observed]
    posterior = predictor.posterior(given, targets, [], RNG)
    np.testing.assert_allclose(posterior.mean, across.T @ inverse @ targets, atol=1e-6)
    variance = predictor.variance - np.einsum("ij,ik,kj->j", across, inverse, across)
    np.testing.assert_allclose(posterior.std, np.sqrt(np.maximum(variance, 1e-12)), atol=1e-6)


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


def test_patterns_of_candidates_that_are_gone_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_kernels, "_MAX_PATTERNS", 1500)
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
    before, after = (predictor.posterior(given, targets, pending, RNG) for pending in ([], [5]))
    np.testing.assert_allclose(after.mean, before.mean, rtol=0, atol=1e-12)
    assert after.std[5] < 0.7 * before.std[5] and (after.std <= before.std).all()


def test_the_likelihood_has_the_gradient_that_it_says() -> None:
    values, squares, theta = RNG.random(10), RNG.random(10), np.array([0.3, -1.0])
    error = check_grad(
        lambda t: negative_log_posterior(t, values, squares)[0],
        lambda t: negative_log_posterior(t, values, squares)[1],
        theta,
    )
    assert error < 1e-5


def test_the_likelihood_is_that_of_the_targets() -> None:
    """By the eigenvalues it is what it is by the matrix (Rasmussen and Williams, equation 2.30), less the prior."""
    gram, targets = kernel(sampled(12), 1), RNG.standard_normal(12)
    fit = fitted_kernel(gram, targets)
    covariance = fit.scale * gram + fit.noise * np.eye(12)
    prior = 0.5 * (np.log(fit.scale) / 2) ** 2 + 0.5 * ((np.log(fit.noise) / 2 - np.log(0.1)) / 0.5) ** 2
    expected = 0.5 * targets @ np.linalg.solve(covariance, targets) + 0.5 * np.linalg.slogdet(covariance)[1] + prior
    assert fit.loss == pytest.approx(expected, rel=1e-4)


def n_of(arch: Architecture, pattern: str) -> int:
    patterns = Patterns()
    counts = patterns.counts(CELLS.operation_graph(arch), 1)
    return sum(c for own in counts for number, c in own.items() if patterns.text(number) == pattern)


def test_the_likelihood_chooses_the_height() -> None:
    """What operations there are needs height 0, what follows upon what needs height 1."""
    given = pool(sampled(150))
    sizes = np.array([len(CELLS.operation_graph(arch)) for arch in given.archs])
    # Rows are divided by their lengths, so this is linear in them.
    alone = np.array([n_of(arch, "nor_conv_3x3") for arch in given.archs]) / np.sqrt(sizes)
    joined = np.array(
        [
            sum({graph.labels[s], graph.labels[t]} == {"nor_conv_3x3", "nor_conv_1x1"} for s, t in graph.edges)
            for graph in map(CELLS.operation_graph, given.archs)
        ],
        dtype=float,
    )
    heights = []
    for scores in (alone, joined):
        predictor = WeisfeilerLehmanPredictor(max_height=2)
        predictor.fit(given, range(len(given)), (scores - scores.mean()) / scores.std(), RNG)
        heights.append(predictor.height)
    assert heights == [0, 1]


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


def test_motifs_are_plain_values() -> None:
    assert Motif("conv", 0, 0.5, 3) == Motif("conv", 0, 0.5, 3)
