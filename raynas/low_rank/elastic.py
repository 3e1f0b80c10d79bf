"""Elastic layers whose rank is a decision: smaller ranks are the first columns and rows of the largest one."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from raynas.core.architecture import Option
from raynas.low_rank.factors import Factors
from raynas.low_rank.pairs import Layer, apply_pair, fresh_adapter, full_rank, like, new_pair, product, shaped, sizes_of
from raynas.nn.elastic import ElasticLayer, Numbers, Sizes
from raynas.nn.selection import Mixture

RANK = "rank"
"""Argument of the elastic layers that is a decision."""


class _Ranked(ElasticLayer):
    """A layer whose rank is a decision.

    Args:
        layer: the given layer, which is not changed.
        ranks: the options.
        label: name of the decision.
    """

    def __init__(self, layer: Layer, ranks: Sequence[int], label: str) -> None:
        super().__init__(sizes_of(layer)[1], rank=Numbers(ranks, label))
        self._given = (layer,)  # in a tuple it is no submodule

    @property
    def given(self) -> Layer:
        """The given layer."""
        return self._given[0]

    def width_of(self, x: Tensor) -> int:
        return self.n_in  # those of the given layer, whatever the decisions

    def run(self, x: Tensor, sizes: Sizes, mixtures: Mapping[str, Mixture]) -> Tensor:
        return self._run(x, sizes[RANK])

    @abstractmethod
    def _run(self, x: Tensor, rank: int) -> Tensor:
        """Return the output at a rank."""

    def outline(self, x: Tensor, sizes: Sizes) -> Tensor:
        given = self.given
        bias = None if given.bias is None else given.bias.to(x.device)
        if isinstance(given, nn.Linear):
            return torch.nn.functional.linear(x, given.weight.to(x.device), bias)
        return given._conv_forward(x, given.weight.to(x.device), bias)

    def _extracted(self, n_in: int, options: Mapping[str, Option], copy: bool) -> nn.Module:
        sizes = self.sizes(options, n_in)
        with torch.device("meta"):
            layer = self.plain(n_in, sizes)
        weights = {name: tensor.detach() for name, tensor in self.sliced(n_in, sizes).items()}
        layer.load_state_dict({name: t.clone() if copy else t for name, t in weights.items()}, assign=True)
        self._freeze(layer)
        return layer.train(self.training)

    def _freeze(self, layer: nn.Module) -> None:
        """Set which parameters of a layer are trained; by default all are."""


class ElasticFactors(_Ranked):
    """A layer as two of a lower rank; the full rank is one layer again.

    Args:
        factors: the factors of the given layer.
        ranks: the options.
        label: name of the decision.
    """

    shared: nn.Sequential

    def __init__(self, factors: Factors, ranks: Sequence[int], label: str) -> None:
        super().__init__(factors.layer, ranks, label)
        self._factors = (factors,)

    @property
    def factors(self) -> Factors:
        """The factors of the given layer."""
        return self._factors[0]

    def plain(self, n_in: int, sizes: Sizes) -> nn.Module:
        rank = sizes[RANK]
        if rank == full_rank(self.given):
            return like(self.given)
        return nn.Sequential(*new_pair(self.given, rank, bias=self.given.bias is not None))

    def expand(self, names: Mapping[str, str]) -> None:
        self.names = dict(names)
        pair = new_pair(self.given, full_rank(self.given), bias=self.given.bias is not None)
        self.shared = nn.Sequential(*pair)
        if next(self.shared.parameters()).device.type != "meta":
            self.shared.load_state_dict(self._state(full_rank(self.given)))

    def _state(self, rank: int) -> dict[str, Tensor]:
        first, second = self.factors.pair
        first, second = shaped(self.given, first[:rank], second[:, :rank])
        bias = self.given.bias
        return {"0.weight": first, "1.weight": second, **({} if bias is None else {"1.bias": bias.detach()})}

    def member(self, rank: int) -> nn.Module:
        """Return the layer of a rank with the weights of the given layer; on the meta device if that is the default."""
        layer = self.plain(self.n_in, {RANK: rank})
        if next(layer.parameters()).device.type == "meta":
            return layer
        if rank == full_rank(self.given):
            layer.load_state_dict(self.given.state_dict())
        else:
            layer.load_state_dict(self._state(rank))
        return layer.train(self.given.training)

    def sliced(self, n_in: int, sizes: Sizes) -> Mapping[str, Tensor]:
        rank, state = sizes[RANK], dict(self.shared.state_dict(keep_vars=True))
        if rank == full_rank(self.given):
            whole = {"weight": product(self.given, state["0.weight"], state["1.weight"])}
            return whole | ({"bias": state["1.bias"]} if "1.bias" in state else {})
        return state | {"0.weight": state["0.weight"][:rank], "1.weight": state["1.weight"][:, :rank]}

    def _run(self, x: Tensor, rank: int) -> Tensor:
        first, second = self.shared
        assert isinstance(first.weight, Tensor) and isinstance(second.weight, Tensor)
        bias = second._parameters.get("bias")
        return apply_pair(self.given, x, first.weight[:rank], second.weight[:, :rank], bias)


class AdaptedLayer(nn.Module):
    """A frozen layer and an adapter of a low rank beside it (Hu et al., "LoRA", ICLR 2022, arXiv:2106.09685).

    Args:
        base: the layer.
        rank: of the adapter.
        scale: factor of what the adapter adds.
    """

    def __init__(self, base: Layer, rank: int, scale: float) -> None:
        super().__init__()
        self.base = base
        self.down, self.up = new_pair(base, rank, bias=False)
        self.scale = scale
        if self.down.weight.device.type != "meta":
            fresh_adapter(self.down, self.up)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the layer and what the adapter adds."""
        found: Tensor = self.base(x) + self.scale * self.up(self.down(x))
        return found


class ElasticAdapter(_Ranked):
    """An adapter whose rank is a decision, nested as in DyLoRA (Valipour et al., EACL 2023, arXiv:2210.07558).

    The adapter of rank r is the first r rows of the first matrix and the first r columns of the second. Its scale is
    the same for all ranks. Rank 0 is the layer without an adapter.

    Args:
        layer: the layer, which stays as it is.
        ranks: the options.
        label: name of the decision.
        scale: factor of what the adapter adds.
    """

    shared: AdaptedLayer

    def __init__(self, layer: Layer, ranks: Sequence[int], label: str, scale: float) -> None:
        super().__init__(layer, ranks, label)
        self.scale = scale

    def plain(self, n_in: int, sizes: Sizes) -> nn.Module:
        base = like(self.given)
        return AdaptedLayer(base, sizes[RANK], self.scale) if sizes[RANK] else base  # type: ignore[arg-type]

    def expand(self, names: Mapping[str, str]) -> None:
        super().expand(names)
        if next(self.shared.parameters()).device.type != "meta":
            self.shared.base.load_state_dict(self.given.state_dict())
        self._freeze(self.shared)

    def member(self, rank: int) -> nn.Module:
        """Return the layer with a new adapter of a rank; on the meta device if that is the default."""
        layer = self.plain(self.n_in, {RANK: rank})
        if next(layer.parameters()).device.type != "meta":
            base = layer.base if isinstance(layer, AdaptedLayer) else layer
            base.load_state_dict(self.given.state_dict())
        self._freeze(layer)
        return layer.train(self.given.training)

    def sliced(self, n_in: int, sizes: Sizes) -> Mapping[str, Tensor]:
        rank, state = sizes[RANK], dict(self.shared.state_dict(keep_vars=True))
        if not rank:
            base = "base."
            return {name.removeprefix(base): tensor for name, tensor in state.items() if name.startswith(base)}
        return state | {"down.weight": state["down.weight"][:rank], "up.weight": state["up.weight"][:, :rank]}

    def _run(self, x: Tensor, rank: int) -> Tensor:
        shared = self.shared
        found: Tensor = shared.base(x)
        if not rank:
            return found
        down, up = shared.down.weight, shared.up.weight
        assert isinstance(down, Tensor) and isinstance(up, Tensor)
        return found + shared.scale * apply_pair(self.given, x, down[:rank], up[:, :rank], None)

    def _freeze(self, layer: nn.Module) -> None:
        base = layer.base if isinstance(layer, AdaptedLayer) else layer
        for parameter in base.parameters():
            parameter.requires_grad_(False)
