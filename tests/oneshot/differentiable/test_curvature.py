"""The power iteration on Hessians that are known."""

import pytest
import torch
from torch import nn

from raynas.oneshot.differentiable.curvature import dominant_eigenvalue


@pytest.mark.parametrize("eigenvalues", [(3.0, 1.0, 0.5), (0.1, -5.0, 1.0)])
def test_the_eigenvalue_of_largest_magnitude_has_its_sign(eigenvalues: tuple[float, ...]) -> None:
    basis, _ = torch.linalg.qr(torch.randn((3, 3), generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    hessian = basis @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ basis.T
    point = nn.Parameter(torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64))
    before = point.detach().clone()
    found = dominant_eigenvalue(lambda: point @ hessian @ point / 2, [point], n_iterations=100, tolerance=1e-6)
    assert found == pytest.approx(max(eigenvalues, key=abs), rel=1e-3)
    assert torch.equal(point, before)


def test_a_linear_loss_has_no_curvature() -> None:
    point = nn.Parameter(torch.ones(3, dtype=torch.float64))
    assert dominant_eigenvalue(lambda: point.sum(), [point]) == pytest.approx(0, abs=1e-12)
