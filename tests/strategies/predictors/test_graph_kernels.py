import numpy as np

from raynas.strategies.predictors.graph_kernels import SmoothPredictor
from raynas.strategies.predictors.weisfeiler_lehman import Patterns
from tests.strategies.predictors.pools import CELLS, pool, sampled

RNG = np.random.default_rng(0)


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
    counted = [patterns.counts(CELLS.operation_graph(arch), 1) for arch in archs]
    for height, scale in enumerate(predictor._scales):
        gram = np.array([[sum(a[height][p] * b[height][p] for p in a[height]) for b in counted] for a in counted])
        lengths = np.sqrt(gram.diagonal())
        squared.append(np.maximum(2 - 2 * gram / np.outer(lengths, lengths), 0) / scale**2)
    covariance, observed = predictor.kernel.at(squared), [1, 7, 15, 20, 30]
    across = covariance[observed]
    inverse = np.linalg.inv(across[:, observed] + predictor.noise * np.eye(5))
    posterior = predictor.posterior(given, targets, [], RNG)
    np.testing.assert_allclose(posterior.mean, across.T @ inverse @ targets, atol=1e-5)
    variance = predictor.variance - np.einsum("ij,ik,kj->j", across, inverse, across)
    np.testing.assert_allclose(posterior.std, np.sqrt(np.maximum(variance, 1e-12)), atol=1e-5)


def test_the_smooth_kernel_learns_what_matters() -> None:
    """Two 3x3 convolutions in a row are good: from 80 cells the order of 300 others."""
    given = pool(sampled(400))
    graphs = [CELLS.operation_graph(arch) for arch in given.archs]
    scores = np.array(
        [sum(graph.labels[s] == graph.labels[t] == "nor_conv_3x3" for s, t in graph.edges) for graph in graphs],
        dtype=float,
    )
    targets = (scores - scores.mean()) / scores.std()
    predictor = SmoothPredictor()
    predictor.fit(given, range(80), targets[:80], RNG)
    posterior = predictor.posterior(given, targets[:80], [], RNG)
    assert np.corrcoef(posterior.mean[80:], targets[80:])[0, 1] > 0.8
