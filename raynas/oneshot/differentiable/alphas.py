"""Alphas: the architecture parameters of a supernet, a vector for each decision that is learned."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.core.architecture import Option
from raynas.nn.choice import Choice
from raynas.nn.decision_module import DecisionModule
from raynas.nn.elastic_layers import ElasticResize
from raynas.nn.expansion import ExpandedChoice
from raynas.nn.input_choice import InputChoice
from raynas.nn.selection import Mixture
from raynas.nn.supernet import Supernet
from raynas.oneshot.differentiable.relaxation import Relaxation, Softmax, gumbel, straight_through
from raynas.oneshot.differentiable.skips import skip_parts
from raynas.seeds import seed_of

Kind = Literal["operations", "sizes", "inputs", "drawn_inputs", "all_inputs", "drawn"]
"""Treatment of a decision: the options of a Choice are relaxed, and so are depths and sizes; inputs are weighted by
a softmax, or drawn where they are concatenated, or all taken with weight 1; what cannot be mixed is drawn uniformly."""


@dataclass(frozen=True)
class Place:
    """A decision, as a relaxation sees it.

    Args:
        name: of the decision.
        kind: what is done about it.
        choice: says what its ways are.
        skips: the ways that are skip connections, by index.
        inner: for each input, the decision about the operation that it goes through, None if there is none.
        learnable: the ways that have weights, by index.
        null: whether "no operation" competes with the ways.
    """

    name: str
    kind: Kind
    choice: DecisionModule
    skips: tuple[int, ...] = ()
    inner: tuple[str | None, ...] = ()
    learnable: tuple[int, ...] = ()
    null: bool = True

    @property
    def n_ways(self) -> int:
        """Number of options."""
        return len(self.choice.alternatives)

    @property
    def n_weights(self) -> int:
        """Number of learned parameters: one per option, and one for "no operation" where a Choice has it."""
        has_null = self.null and isinstance(self.choice, Choice) and self.choice.null
        return 0 if self.kind in ("all_inputs", "drawn") else self.n_ways + has_null


def read_places(supernet: Supernet, *, edge_normalisation: bool, no_operation: bool = True) -> dict[str, Place]:
    """Return the treatment of each decision of a supernet.

    Args:
        supernet: holds the decisions.
        edge_normalisation: whether inputs are weighted even where the operations behind them are.
        no_operation: whether "no operation" competes where a Choice has it.
    """
    skips = {(name, option) for name, option, _ in skip_parts(supernet)}
    unmixable = {layer.names.get("side") for layer in supernet.net.modules() if isinstance(layer, ElasticResize)}
    inner = {place.name: _inner(place) for place in supernet.expanded_choices if isinstance(place.choice, InputChoice)}
    learnable = {(p.name, way) for p in supernet.expanded_choices for way in _learnable(p)}
    places = {}
    for name, choice in supernet.choices.items():
        kind = _kind(choice, name in unmixable, inner.get(name, ()), edge_normalisation)
        found = [tuple(i for i, way in enumerate(choice.alternatives) if (name, way) in s) for s in (skips, learnable)]
        places[name] = Place(name, kind, choice, found[0], inner.get(name, ()), found[1], no_operation)
    return places


def _learnable(place: ExpandedChoice) -> list[Option]:
    if not isinstance(place.choice, Choice):
        return []
    return [way for way in place.choice.alternatives if any(True for _ in place.branch(str(way)).parameters())]


def _kind(choice: DecisionModule, unmixable: bool, inner: Sequence[str | None], edge_normalisation: bool) -> Kind:
    if unmixable:
        return "drawn"
    if isinstance(choice, InputChoice):
        if choice.reduction == "concat":
            return "drawn_inputs"
        return "inputs" if edge_normalisation or None in inner else "all_inputs"
    return "operations" if isinstance(choice, Choice) else "sizes"


def _inner(place: ExpandedChoice) -> tuple[str | None, ...]:
    """For each input, the name of the first Choice in the edge that it goes through."""

    def first(part: nn.Module) -> str | None:
        found = (m.name for m in part.modules() if isinstance(m, ExpandedChoice) and isinstance(m.choice, Choice))
        return next(found, None)

    parts = place.choice.factories
    return tuple(first(place.branch(str(way))) if parts else None for way in place.choice.alternatives)


class Alphas:
    """The architecture parameters, which of their ways are still in the race, and what they select.

    Args:
        places: the decisions.
        scale: standard deviation of the parameters at the beginning, around zero.
        seed: of what they are at the beginning.
        device: where they are.
    """

    def __init__(self, places: Mapping[str, Place], *, scale: float, seed: int, device: torch.device) -> None:
        self.places = dict(places)
        self.scale = scale
        learned = {name: place.n_weights for name, place in places.items() if place.n_weights}
        self.values = {name: nn.Parameter(torch.zeros(n, device=device)) for name, n in learned.items()}
        self.kept: dict[str, tuple[int, ...]] = {name: tuple(range(n)) for name, n in learned.items()}
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Draw all parameters again."""
        generator = torch.Generator().manual_seed(seed_of(seed, "alphas"))
        with torch.no_grad():
            for value in self.values.values():
                value.copy_(self.scale * torch.randn(len(value), generator=generator))

    def parameters(self) -> list[nn.Parameter]:
        """Return the parameters, in the order of the decisions."""
        return list(self.values.values())

    def operations(self) -> dict[str, Tensor]:
        """Return the parameters of the operations that are still candidates, by decision."""
        return {
            name: value if len(self.kept[name]) == len(value) else value[list(self.kept[name])]
            for name, value in self.values.items()
            if self.places[name].kind == "operations"
        }

    @property
    def skips(self) -> dict[str, frozenset[Option]]:
        """By decision, its options that are skip connections; without decisions that have none."""
        return {n: frozenset(p.choice.alternatives[i] for i in p.skips) for n, p in self.places.items() if p.skips}

    # --- weights -------------------------------------------------------------------------------------------------

    def weigh(self, by: Callable[[Tensor], Mixture], relaxation: Relaxation) -> dict[str, Mixture]:
        """Return the weights of all relaxed decisions, over their options and, last, "no operation".

        Args:
            by: gives the weights for parameters, as a method of the relaxation does.
            relaxation: says whether its weights can be those of depths and sizes, which have to sum to 1.
        """
        weights = {}
        for name, value in self.values.items():
            kind, kept = self.places[name].kind, self.kept[name]
            if kind not in ("operations", "sizes"):
                continue
            weigh = by if kind == "operations" or relaxation.normalised else lambda a: Softmax().weigh(a, 0.0)
            if len(kept) == len(value):  # all, in order: nothing to gather and to scatter
                weights[name] = weigh(value)
                continue
            indices = torch.tensor(kept, device=value.device)
            mixture = weigh(value[indices])
            full = torch.zeros_like(value).index_copy(0, indices, mixture.weights)
            weights[name] = Mixture(full, active=tuple(kept[i] for i in mixture.indices))
        return weights

    def selection(
        self, weights: Mapping[str, Mixture], *, detached: bool = False, auxiliary_skip: float = 0.0
    ) -> dict[str, Any]:
        """Return the selection that a supernet computes with these weights.

        Args:
            weights: those of relaxed decisions, from ``weigh``.
            detached: whether the weights of inputs have no gradient.
            auxiliary_skip: what is added to the weight of the skip connection of every Choice that has one.
        """
        return {
            name: self._stripped(place, weights[name], auxiliary_skip)
            if name in weights
            else self._drawn(place, detached)
            for name, place in self.places.items()
        }

    def _stripped(self, place: Place, mixture: Mixture, auxiliary_skip: float) -> Mixture:
        """Without "no operation", whose weight simply is missing."""
        weights, active = mixture.weights[: place.n_ways], [i for i in mixture.indices if i < place.n_ways]
        if not active:  # Only "no operation" was drawn: zeros of the right shape come from the cheapest way, times 0.
            weights, active = torch.zeros_like(weights), [place.skips[0] if place.skips else 0]
        if auxiliary_skip and place.skips:
            skip = place.skips[0]
            # Both skip connections give the same, so their weights add up.
            weights = weights + auxiliary_skip * functional.one_hot(torch.tensor(skip), len(weights)).to(weights)
            active = sorted({*active, skip})
        return Mixture(weights, active=tuple(active))

    def _drawn(self, place: Place, detached: bool) -> "Option | Mixture":
        """Return the selection of inputs and of decisions that cannot be mixed."""
        if place.kind == "drawn":
            return place.choice.alternatives[int(torch.randint(place.n_ways, ()))]
        if place.kind == "all_inputs":
            # On the CPU, where reading them makes no GPU wait: inputs whose weights are all 1 are just added.
            return Mixture(torch.ones(place.n_ways, device="cpu"))
        value, choice = self.values[place.name], place.choice
        assert isinstance(choice, InputChoice)
        vector = value.detach() if detached else value
        if place.kind == "drawn_inputs":
            noisy = value.detach() + gumbel(value.detach())
            drawn = tuple(sorted(noisy.topk(choice.n_chosen).indices.tolist()))
            return Mixture(straight_through(vector.softmax(0), drawn), active=drawn)
        # Where operations are weighted too, the inputs share 1 (PC-DARTS); else as much as the chosen ones will have.
        share = 1 if None not in place.inner else choice.n_chosen
        return Mixture(share * vector.softmax(0))

    @property
    def _device(self) -> torch.device | None:
        return next((value.device for value in self.values.values()), None)

    def strengths(self, relaxation: Relaxation, by: Callable[[Tensor], Tensor] | None = None) -> dict[str, Tensor]:
        """Return the weights without noise: over options and "no operation"; inputs by a softmax.

        Args:
            relaxation: makes weights of parameters.
            by: gives the weights of parameters, by default ``relaxation.mean``; ``relaxation.rank`` to compare edges.
        """
        mean = by or relaxation.mean
        weights = {name: m.weights for name, m in self.weigh(lambda a: Mixture(mean(a)), relaxation).items()}
        for name, value in self.values.items():
            weights.setdefault(name, value.softmax(0))
        return weights

    @torch.no_grad()
    def named_weights(self, relaxation: Relaxation) -> dict[str, dict[str, float]]:
        """Return the weights without noise by decision and option, to four digits."""
        found = {}
        for name, weights in self.strengths(relaxation).items():
            options = [*map(str, self.places[name].choice.alternatives), "no operation"]
            found[name] = {option: round(w, 4) for option, w in zip(options, weights.tolist(), strict=False)}
        return found

    def learnable_order(self) -> tuple[int, ...]:
        """Return the ranking of the operations that have weights, decision by decision: their indices, best first."""
        order: list[int] = []
        for name, value in self.values.items():
            place, alpha = self.places[name], value.tolist()
            ranked = sorted(self.kept[name], key=alpha.__getitem__, reverse=True)
            order += [i for i in ranked if i in place.learnable and i not in place.skips]
        return tuple(order)

    def option_probabilities(self, relaxation: Relaxation) -> dict[str, Tensor]:
        """Return the probability of each option of each decision, shape ``(n_options,)``; sums to 1.

        "No operation" is left out, as no architecture can choose it; the inputs of a combination count as independent.
        """
        strengths = self.strengths(relaxation)
        out = {}
        for name, place in self.places.items():
            weights = strengths.get(name, torch.ones(place.n_ways, device=self._device))[: place.n_ways]
            if isinstance(place.choice, InputChoice):
                weights = torch.stack([weights[list(chosen)].prod() for chosen in place.choice.chosen.values()])
            out[name] = weights / weights.sum()
        return out

    # --- dropping ways -------------------------------------------------------------------------------------------

    def keep(self, n: int, relaxation: Relaxation) -> None:
        """Take the operations with the least weight out of the race, so that each decision has at most ``n`` left."""
        with torch.no_grad():
            strengths = {name: vector.tolist() for name, vector in self.strengths(relaxation).items()}
        for name, kept in self.kept.items():
            if self.places[name].kind == "operations":
                best = sorted(kept, key=lambda i, s=strengths[name]: -s[i])[:n]  # type: ignore[misc]
                if all(i >= self.places[name].n_ways for i in best):  # "No operation" is none that could be derived.
                    best = [next(i for i in kept if i < self.places[name].n_ways)]
                self.kept[name] = tuple(sorted(best))

    def entropy(self, relaxation: Relaxation) -> float:
        """Return the mean entropy of the weights, in [0, 1]: 1 if all options have equal weight, 0 if one has all."""
        shares = []
        for name, weights in self.strengths(relaxation).items():
            p = weights[list(self.kept[name])].detach().clamp(1e-12, 1.0)
            if len(p) < 2:
                continue
            if not relaxation.normalised and self.places[name].kind == "operations":
                q = (1 - p).clamp(1e-12)
                shares.append(-(p * p.log() + q * q.log()).mean() / torch.tensor(2.0).log().to(p))
            else:
                shares.append(-(p * p.log()).sum() / torch.tensor(float(len(p))).log().to(p))
        return float(torch.stack(shares).mean()) if shares else 0.0

    def state_dict(self) -> dict[str, Any]:
        """Parameters and what is in the race."""
        return {"values": {n: v.detach() for n, v in self.values.items()}, "kept": dict(self.kept)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from ``state_dict``.

        Raises:
            KeyError: if the state is that of other decisions.
        """
        with torch.no_grad():
            for name, value in self.values.items():
                value.copy_(state["values"][name])
                self.kept[name] = tuple(state["kept"][name])
