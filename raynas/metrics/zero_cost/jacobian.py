"""Proxies made of the gradients of a network's outputs for each of the images of a batch."""

import torch
from torch import Tensor

from raynas.errors import RaynasError
from raynas.metrics.zero_cost.passes import View

EPSILON = 1e-5
"""Added to the argument of a logarithm that could be zero."""

MANY_CLASSES = 100
"""Above this number of classes, EPE-NAS compares classes instead of adding them up."""


def jacob_cov(view: View) -> float:
    """Minus the sum of ``log(v + k) + 1 / (v + k)`` over the eigenvalues v of the images' correlations, k = 1e-5.

    Mellor et al., "Neural Architecture Search without Training", first version of 2020, arXiv:2006.04647v1, as in
    Abdelfattah et al., ICLR 2021, arXiv:2101.08134. Correlated are the gradients of the sum of the outputs.
    """
    values = torch.linalg.eigvalsh(_correlation(_rows(view))) + EPSILON
    return -float((values.log() + 1 / values).sum())


def epe_nas(view: View) -> float:
    """Correlation of the gradients of images within a class, summed over classes.

    Lopes et al., "EPE-NAS: Efficient Performance Estimation Without Training for NAS", ICANN 2021, arXiv:2102.08099:
    for each class ``e = sum(log(|c| + k))`` over the correlations c of its images, k = 1e-5; the score is the sum of
    ``|e|``. Above a hundred classes, e is divided by the number of images of the class, and the score is the sum of
    ``|e_i - e_j|`` over all pairs, divided by the number of classes.
    """
    rows, many = _rows(view), view.seen.n_outputs > MANY_CLASSES
    members = [rows[view.labels == label] for label in view.labels.unique()]
    scores = torch.stack([_of_class(each) / (len(each) if many else 1) for each in members])
    if many:
        return float((scores[:, None] - scores[None, :]).abs().sum()) / len(scores)
    return float(scores.abs().sum())


def _of_class(rows: Tensor) -> Tensor:
    return (_correlation(rows).abs() + EPSILON).log().sum()


def _rows(view: View) -> Tensor:
    """Return the gradient for each image, ``(batch, n_values)``.

    Raises:
        RaynasError: if one is constant, so that it correlates with nothing, or there are none.
    """
    if not view.seen.input_gradient.numel():
        raise RaynasError("the inputs have no gradients: they are whole numbers, and no nn.Embedding reads them")
    rows = view.seen.input_gradient.flatten(1).double()
    if not bool((rows.std(1) > 0).all()):
        raise RaynasError("gradients for the inputs do not vary: the outputs do not depend on the input, or are broken")
    return rows


def _correlation(rows: Tensor) -> Tensor:
    centred = rows - rows.mean(1, keepdim=True)
    unit = centred / centred.norm(dim=1, keepdim=True)
    return torch.mm(unit, unit.T)
