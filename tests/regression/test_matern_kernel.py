import numpy as np
from scipy.optimize import check_grad

from raynas.regression.matern_kernel import MaternKernel, Pairs, negative_log_posterior, squared_distances

RNG = np.random.default_rng(0)


def test_the_likelihood_has_the_gradient_that_it_says() -> None:
    groups = [RNG.random((12, 3)), RNG.random((12, 5))]
    pairs = Pairs(12)
    squared = np.stack([pairs.of(squared_distances(group, group)) for group in groups])
    targets = RNG.standard_normal(12)
    theta = np.array([0.1, -0.5, 0.3, -0.2, -1.5])
    error = check_grad(
        lambda t: negative_log_posterior(t, squared, pairs, targets)[0],
        lambda t: negative_log_posterior(t, squared, pairs, targets)[1],
        theta,
    )
    assert error < 1e-4
    fitted = MaternKernel.fitted(groups, targets, MaternKernel(theta))
    losses = [negative_log_posterior(t, squared, pairs, targets)[0] for t in (fitted.theta, theta)]
    assert losses[0] < losses[1]


def test_a_group_that_does_not_matter_loses_its_weight() -> None:
    matters, noise = RNG.random((60, 1)), RNG.random((60, 1))
    fitted = MaternKernel.fitted([matters, noise], np.sin(6 * matters[:, 0]), MaternKernel.prior(2), max_iterations=50)
    changes = np.exp(fitted.theta[2:4]) / np.exp(fitted.theta[:2]) ** 2  # how much a group moves the target
    assert changes[0] > 10 * changes[1]


def test_hyperparameters_stay_where_nothing_overflows() -> None:
    """A line search from an odd start used to try lengths of e⁻⁸⁰⁰ and weights of e⁸⁰⁰."""
    rng = np.random.default_rng(0)
    groups = [rng.standard_normal((12, 3)), np.zeros((12, 2))]
    for targets in (1e3 * rng.standard_normal(12), np.zeros(12)):
        theta = MaternKernel.fitted(groups, targets, MaternKernel.prior(2), max_iterations=100).theta
        prior = MaternKernel.prior(2).theta
        assert (np.abs(theta - prior) <= 4.0 * np.array([0.7, 0.7, 1.0, 1.0, 1.0]) + 1e-9).all()
