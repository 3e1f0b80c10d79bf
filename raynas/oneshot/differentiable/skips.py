"""Skip connections among the candidates, recognised by their modules, not by their names."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from raynas.core.architecture import Option
from raynas.nn.choice import Choice
from raynas.nn.operations import HalvingConv
from raynas.nn.supernet import Supernet

_BESIDE = (nn.ReLU, nn.modules.batchnorm._BatchNorm, nn.Dropout)
"""Modules that a skip connection may contain besides identities."""


def is_skip(module: nn.Module) -> bool:
    """Return True if a candidate passes its input through unchanged.

    That is ``nn.Identity``; where the image is halved, the factorised reduction that replaces it; a chain of these
    with nothing but ReLU and batch norm; and any module that has an attribute ``is_skip`` that is true.
    """
    if isinstance(module, nn.Identity | HalvingConv) or getattr(module, "is_skip", False) is True:
        return True
    if not isinstance(module, nn.Sequential):
        return False
    layers = [layer for layer in module if not isinstance(layer, _BESIDE)]
    return bool(layers) and all(map(is_skip, layers))


def skip_parts(supernet: Supernet) -> Iterator[tuple[str, str, nn.Module]]:
    """Return the skip connections among the candidates: name of the decision, option, module."""
    for place in supernet.expanded_choices:
        if isinstance(place.choice, Choice):
            for option in place.choice.factories:
                if is_skip(place.branch(option)):
                    yield place.name, option, place.branch(option)


def group_of(name: str) -> str:
    """Return the cell of a decision: its name up to the first dot, "" if there is none."""
    return name.partition(".")[0] if "." in name else ""


def count_skips(
    arch: Mapping[str, Option], skips: Mapping[str, frozenset[Option]], exempt: Iterable[str] = ()
) -> dict[str, int]:
    """Count the skip connections of an architecture in each cell.

    Args:
        arch: canonical, so that only what is used counts.
        skips: by decision, its options that are skip connections.
        exempt: cells that are left out.
    """
    counts: dict[str, int] = {}
    for name, option in arch.items():
        group = group_of(name)
        if name in skips and group not in exempt:
            counts[group] = counts.get(group, 0) + (option in skips[name])
    return counts


def skip_share(arch: Mapping[str, Option], skips: Mapping[str, frozenset[Option]]) -> float:
    """Return the share of skip connections among the decisions of an architecture that could be one, in [0, 1]."""
    chosen = [option in skips[name] for name, option in arch.items() if name in skips]
    return sum(chosen) / len(chosen) if chosen else 0.0


@contextmanager
def dropping_skips(supernet: Supernet, rate: float) -> Iterator[None]:
    """Dropout behind every skip connection until the context ends (Chen et al., "P-DARTS", ICCV 2019).

    Args:
        supernet: nothing of it stays on its modules.
        rate: of the dropout, in [0, 1); at 0 nothing happens.
    """

    def drop(module: nn.Module, inputs: Any, out: Tensor) -> Tensor:
        return functional.dropout(out, rate, training=module.training)

    modules = {id(module): module for _, _, module in skip_parts(supernet)} if rate > 0 else {}
    hooks = [module.register_forward_hook(drop) for module in modules.values()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
