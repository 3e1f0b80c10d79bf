"""The architecture that architecture parameters come down to (Liu et al., "DARTS", ICLR 2019, section 2.4).

A Choice takes the operation with the highest weight, an InputChoice the inputs with the strongest edges: the weight of
the edge, if it has one, times that of its strongest operation. "No operation" is never taken.
"""

from collections.abc import Iterable, Mapping

from torch import Tensor

from raynas.core.architecture import Architecture, Option
from raynas.core.space import SearchSpace
from raynas.oneshot.differentiable.alphas import Alphas, Place
from raynas.oneshot.differentiable.skips import count_skips, group_of

Strengths = dict[str, list[float]]
"""By decision, the weight of each way."""


def derive(
    alphas: Alphas,
    weights: Mapping[str, Tensor],
    space: SearchSpace,
    *,
    max_skips: int | None = None,
    exempt: Iterable[str] = (),
) -> Architecture:
    """Derive the canonical architecture from weights.

    Args:
        alphas: says what the decisions are.
        weights: from ``Alphas.strengths``.
        space: whose architecture it is.
        max_skips: the most skip connections in a cell: as long as there are more, the weakest of them gives way to the
            next best operation (Chen et al., "P-DARTS", ICCV 2019, section 3.3.2).
        exempt: cells that may have more.
    """
    strengths = {name: vector.tolist()[: alphas.places[name].n_ways] for name, vector in weights.items()}
    arch = _architecture(alphas, strengths, space)
    while max_skips is not None and (weakest := _surplus_skip(alphas, strengths, arch, max_skips, tuple(exempt))):
        for way in alphas.places[weakest].skips:
            strengths[weakest][way] = 0.0
        arch = _architecture(alphas, strengths, space)
    return arch


def _architecture(alphas: Alphas, strengths: Strengths, space: SearchSpace) -> Architecture:
    places = alphas.places.items()
    return space.canonical({name: _option(place, strengths) for name, place in places})


def _option(place: Place, strengths: Strengths) -> Option:
    if place.kind == "drawn":  # There is no gradient that would say which; most detail is the safe one.
        return max(place.choice.alternatives, key=float)
    own = strengths.get(place.name, [1.0] * place.n_ways)
    inner = [1.0 if name is None else max(strengths[name]) for name in place.inner] or [1.0] * place.n_ways
    return place.choice.strongest([edge * operation for edge, operation in zip(own, inner, strict=True)])


def _surplus_skip(
    alphas: Alphas, strengths: Strengths, arch: Architecture, max_skips: int, exempt: tuple[str, ...]
) -> str | None:
    """Return the weakest skip connection of a cell that has too many; None if none has."""
    counts = count_skips(arch, alphas.skips, exempt)
    names = [n for n, skips in alphas.skips.items() if n in arch and arch[n] in skips]
    weight = {n: max(strengths[n][i] for i in alphas.places[n].skips) for n in names}
    surplus = [n for n in names if counts.get(group_of(n), 0) > max_skips and weight[n] > 0]
    return min(surplus, key=weight.__getitem__, default=None)
