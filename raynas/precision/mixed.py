"""MixedNetwork: a network of PyTorch with some layers in bfloat16."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Self

from raynas.core.inputs import Arguments, mapped
from raynas.metrics.cost import size_on_disk
from raynas.metrics.latency.deployment import Deployment

NORMALISATIONS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
"""Layers that take inputs of another type than that of their weights."""


class MixedNetwork(nn.Module):
    """A network in eval mode with some layers in bfloat16, to be called like the network; outputs are float32.

    A layer converts its inputs to its type. Operations without weights, and normalisation, compute in the type of
    their inputs, so that neighbours in bfloat16 have nothing converted between them.

    Args:
        network: the network, which is copied.
        precisions: of its layers, by path; those not named stay float32.
    """

    def __init__(self, network: nn.Module, precisions: Mapping[str, str]) -> None:
        super().__init__()
        self.precisions = dict(precisions)
        self.network = copy.deepcopy(network)
        for path, precision in precisions.items():
            layer = self.network.get_submodule(path)
            dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
            layer.to(dtype)
            layer.register_forward_pre_hook(_Converted(dtype), with_kwargs=True)
        for path, module in self.network.named_modules():
            if _is_other_layer(module) and path not in precisions:
                module.register_forward_pre_hook(_Converted(torch.float32), with_kwargs=True)
        self.eval()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the outputs, in the structure that those of the network have."""
        return mapped(self.network(*args, **kwargs), lambda leaf: _converted(leaf, torch.float32))

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move the network to a device; types, which are decided, stay."""
        device = torch._C._nn._parse_to(*args, **kwargs)[0]
        return self if device is None else super().to(device)

    @property
    def size_mb(self) -> float:
        """Size of the weights, in MB."""
        return size_on_disk(self.network) / 1e6

    def deployment(self, inputs: Arguments) -> Deployment:
        """Return the network as latency is measured with it.

        Args:
            inputs: an example batch.
        """
        return Deployment("module", self, inputs)


def _is_other_layer(module: nn.Module) -> bool:
    """Return True for a layer whose weights must have the type of its inputs, unlike those of normalisation."""
    has_weights = next(module.parameters(recurse=False), None) is not None
    return has_weights and not list(module.children()) and not isinstance(module, NORMALISATIONS)


class _Converted:
    """Converts the real inputs of a layer to a type."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def __call__(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        given = mapped(Arguments(args, kwargs), lambda leaf: _converted(leaf, self.dtype))
        return given.args, dict(given.kwargs)


def _converted(leaf: Any, dtype: torch.dtype) -> Any:
    return leaf.to(dtype) if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf
