"""Factors: the matrix of a layer as a product whose first columns and rows are its best approximation of each rank."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from raynas.core.inputs import Arguments, Inputs
from raynas.errors import SpaceError
from raynas.low_rank.pairs import Layer, columns
from raynas.nn.modes import evaluating

RIDGE = 1e-4
"""Share of the mean square of the inputs that is added to that of each, so that directions without inputs count."""


@dataclass(frozen=True, eq=False)
class Factors:
    """Factors of a layer's matrix by singular values.

    With second moments of the inputs, what is approximated is the output of the layer on them and not the matrix
    (Wang et al., "SVD-LLM", ICLR 2025, arXiv:2403.07378): the matrix is multiplied with a root of the moments, and the
    factor of the inputs with its inverse.

    Args:
        layer: the layer.
        moments: second moments of its inputs, ``(inputs, inputs)``; None to approximate the matrix.
    """

    layer: Layer
    moments: Tensor | None = None

    @cached_property
    def pair(self) -> tuple[Tensor, Tensor]:
        """Matrices ``(full rank, inputs)`` and ``(outputs, full rank)``, the most important directions first."""
        weight = self.layer.weight.detach()
        matrix = weight.flatten(1).double().cpu()
        root = None if self.moments is None else self._root(self.moments)
        left, values, right = torch.linalg.svd(matrix if root is None else matrix @ root, full_matrices=False)
        if root is not None:
            right = torch.linalg.solve_triangular(root, right, upper=False, left=False)
        scale = values.sqrt()
        return (scale[:, None] * right).to(weight), (left * scale).to(weight)

    @staticmethod
    def _root(moments: Tensor) -> Tensor:
        ridge = RIDGE * moments.diagonal().mean().clamp_min(1e-12)
        root: Tensor = torch.linalg.cholesky(moments + ridge * torch.eye(len(moments), dtype=moments.dtype))
        return root

    def __getstate__(self) -> dict[str, object]:
        return {"layer": self.layer, "moments": self.moments}  # singular values can be found again

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)


def moments_of(model: nn.Module, layers: Mapping[str, Layer], batches: Iterable[Inputs]) -> dict[str, Tensor]:
    """Return the second moments of the inputs of layers, by path.

    Args:
        model: the network, which computes in eval mode.
        layers: the layers, by path.
        batches: inputs of the network.

    Raises:
        SpaceError: if there is no batch.
    """
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = dict.fromkeys(layers, 0)

    def observe(path: str, layer: Layer, x: Tensor) -> None:
        rows = columns(layer, x.detach()).double()
        counts[path] += len(rows)
        found = (rows.T @ rows).cpu()
        sums[path] = sums[path] + found if path in sums else found

    hooks = [
        layer.register_forward_pre_hook(lambda _, args, path=path, layer=layer: observe(path, layer, args[0]))
        for path, layer in layers.items()
    ]
    n_batches = 0
    try:
        with evaluating(model):
            for batch in batches:
                Arguments.of(batch).call(model)
                n_batches += 1
    finally:
        for hook in hooks:
            hook.remove()
    if not n_batches:
        raise SpaceError("batches must hold at least one batch of inputs")
    # A layer that no batch reaches is approximated as it is.
    return {path: total / counts[path] for path, total in sums.items()}
