"""Proxies made of the flow through a network whose weights are all positive; they need no data.

Tanaka et al., "Pruning neural networks without any data by iteratively conserving synaptic flow", NeurIPS 2020,
arXiv:2006.05467. Normalisation is left out, as in Abdelfattah et al., ICLR 2021, arXiv:2101.08134.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from raynas.metrics.zero_cost.copies import channels_last
from raynas.metrics.zero_cost.passes import View, gradients, norms_of, outputs_of, weights_of


def synflow(view: View) -> float:
    """Sum ``w * dR/dw``, with R the sum of the outputs for an input of ones and each weight w made positive.

    Inputs of whole numbers, such as token ids, stay as they are: their embeddings are weights.
    """
    return _score(view, lambda g: g)


def logsynflow(view: View) -> float:
    """Sum ``w * log(1 + dR/dw)``: Cavagnero et al., "FreeREA", WACV 2023, arXiv:2207.05135, section 3.1."""
    return _score(view, torch.log1p)


def _score(view: View, scaled: Callable[[Tensor], Tensor]) -> float:
    weights, flows = view.shared("flow", partial(_flow, view))
    return sum(float((w * scaled(g)).abs().double().sum()) for w, g in zip(weights, flows, strict=True))


def _flow(view: View) -> tuple[list[Tensor], list[Tensor]]:
    """Return the positive weights and the gradient of R, in float64: deep networks exceed the range of float32."""
    with view.seeded():
        model = view.fresh_copy().double()
        for norm in norms_of(model):
            norm.forward = nn.Identity().forward
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.abs_()
        weights = weights_of(model)
        one = view.inputs.part(slice(1))
        ones = one.map_real(lambda x: channels_last(torch.ones_like(x, dtype=torch.float64)))
        flows = gradients(outputs_of(model, ones).sum(), weights)
    return [weight.detach() for weight in weights], flows
