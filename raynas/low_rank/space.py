"""Spaces of ranks: a given model whose layers are replaced by ones of lower rank, or get adapters beside them."""

import copy
import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cached_property

import torch
from torch import nn

from raynas.converting.fingerprint import weights_fingerprint_of
from raynas.core.architecture import Architecture, Option
from raynas.core.decision import Categorical, Decision
from raynas.core.inputs import Arguments, Inputs, InputSpec, TensorSpec, spec_of
from raynas.errors import SpaceError, did_you_mean, one_line
from raynas.low_rank.elastic import AdaptedLayer, ElasticAdapter, ElasticFactors
from raynas.low_rank.factors import Factors, moments_of
from raynas.low_rank.pairs import Layer, full_rank, reason_against, sizes_of
from raynas.nn.model_space import ModelSpace
from raynas.nn.modes import evaluating
from raynas.validate import positive, require

SHARES = (0.75, 0.5, 0.25, 0.125)
"""Default shares of a layer's parameters that two of a lower rank may have."""

RANKS = (8, 4, 2, 1, 0)
"""Default ranks of adapters."""


class RankSpace(ModelSpace):
    """A given model in which the ranks of some layers are decisions.

    Args:
        model: the model, which is not changed, and must not be changed later.
        inputs: description of its inputs.
        ranks: the options of each layer, by path, the default first.
        fixed: reasons why other layers have none, by path.
    """

    def __init__(
        self, model: nn.Module, inputs: InputSpec, ranks: Mapping[str, Sequence[int]], fixed: Mapping[str, str]
    ) -> None:
        if not ranks:
            why = "; ".join(f"{path}: {reason}" for path, reason in list(fixed.items())[:5])
            raise SpaceError(f"no layer of {type(model).__name__} has ranks to choose from ({why or 'there is none'})")
        self.model, self.ranks, self.fixed = model, dict(ranks), dict(fixed)
        self._inputs = inputs
        self.input_shape = tuple(inputs.sizes()) if isinstance(inputs, TensorSpec) else ()

    @property
    def given(self) -> nn.Module:
        """The given model."""
        return self.model

    @abstractmethod
    def elastic(self, path: str) -> ElasticFactors | ElasticAdapter:
        """Return a new elastic layer for the layer of a path."""

    @property
    def name(self) -> str:
        return f"{type(self.model).__name__}-ranks"

    @property
    def decisions(self) -> Sequence[Decision]:
        return tuple(Categorical(decision_name(path), tuple(ranks)) for path, ranks in self.ranks.items())

    @property
    def natural_baseline(self) -> Architecture | None:
        """The default: all layers of full rank, or with the adapters named first."""
        return self.default

    @cached_property
    def weights_fingerprint(self) -> str:
        return weights_fingerprint_of(self.model)

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen digits, equal for two searches of the same ranks of a model with the same weights."""
        text = f"{super().fingerprint} {self.weights_fingerprint} {self._more}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def _more(self) -> str:
        """Digits of all else that networks follow from."""
        return ""

    @property
    def code(self) -> Sequence[object]:
        return tuple(dict.fromkeys(type(module) for module in self.model.modules()))

    def layer(self, path: str) -> Layer:
        """Return a layer of the given model."""
        return self.model.get_submodule(path)  # type: ignore[return-value]

    def pattern(self, arch: Mapping[str, Option]) -> dict[str, int]:
        """Return the rank of each layer, by path.

        Raises:
            SpaceError: if ``arch`` is not a member.
        """
        point = self.point(arch)
        return {path: int(point[decision_name(path)]) for path in self.ranks}

    def of_pattern(self, ranks: Mapping[str, int]) -> Architecture:
        """Return the architecture of a rank for each layer; those not named have their default.

        Raises:
            SpaceError: if a rank is no option, or a layer has none.
        """
        return self.canonical({**self.default, **{decision_name(path): rank for path, rank in ranks.items()}})

    @property
    def bounds(self) -> tuple[Architecture, Architecture]:
        """The members of the lowest and of the highest ranks: parameters and multiply-adds grow with each rank."""
        lowest, highest = ({path: end(ranks) for path, ranks in self.ranks.items()} for end in (min, max))
        return self.of_pattern(lowest), self.of_pattern(highest)

    def factory(self) -> nn.Module:
        """Make a copy of the model with elastic layers."""
        return self._with(self.elastic)

    def _with(self, replacement: Callable[[str], nn.Module]) -> nn.Module:
        replaced = {id(self.layer(path)): replacement(path) for path in self.ranks}
        device = torch.empty(0).device
        memo: dict[int, object] = dict(replaced)
        if device.type == "meta":
            for parameter in self.model.parameters():
                empty = torch.empty_like(parameter, device="meta")
                memo[id(parameter)] = nn.Parameter(empty, parameter.requires_grad)
            memo |= {id(buffer): torch.empty_like(buffer, device="meta") for buffer in self.model.buffers()}
        model: nn.Module = copy.deepcopy(self.model, memo)
        return model

    def elastic_widths(self, options: Mapping[str, Option]) -> dict[str, int]:
        """Return the number of inputs of each elastic layer, which is that of the given model's."""
        return {path: sizes_of(self.layer(path))[1] for path in self.ranks}

    def build(self, arch: Mapping[str, Option]) -> nn.Module:
        """Return the network of ``arch``, plain PyTorch, with the weights of the given model.

        Raises:
            SpaceError: if ``arch`` is not a member.
        """
        ranks = self.pattern(self.canonical(dict(arch)))
        return self._with(lambda path: self.elastic(path).member(ranks[path]))


class LowRankSpace(RankSpace):
    """A given model with layers as two of a lower rank each; see ``low_rank_space``."""

    def __init__(
        self,
        model: nn.Module,
        inputs: InputSpec,
        ranks: Mapping[str, Sequence[int]],
        fixed: Mapping[str, str],
        factors: Mapping[str, Factors],
    ) -> None:
        super().__init__(model, inputs, ranks, fixed)
        self.factors = dict(factors)

    @cached_property
    def _more(self) -> str:
        digest = hashlib.sha256()
        for path, each in self.factors.items():
            if each.moments is not None:
                digest.update(f"{path} {each.moments.double().sum():.9e}".encode())
        return digest.hexdigest()

    def elastic(self, path: str) -> ElasticFactors:
        return ElasticFactors(self.factors[path], self.ranks[path], decision_name(path))


class AdapterSpace(RankSpace):
    """A given model with adapters of a low rank beside its layers; see ``adapter_space``."""

    def __init__(
        self,
        model: nn.Module,
        inputs: InputSpec,
        ranks: Mapping[str, Sequence[int]],
        fixed: Mapping[str, str],
        scale: float,
    ) -> None:
        super().__init__(model, inputs, ranks, fixed)
        self.scale = scale

    @property
    def name(self) -> str:
        return f"{type(self.model).__name__}-adapters"

    @property
    def _more(self) -> str:
        return str(self.scale)

    def elastic(self, path: str) -> ElasticAdapter:
        return ElasticAdapter(self.layer(path), self.ranks[path], decision_name(path), self.scale)

    def _with(self, replacement: Callable[[str], nn.Module]) -> nn.Module:
        model = super()._with(replacement)
        layers = [module for module in model.modules() if isinstance(module, AdaptedLayer)]
        adapters = {id(p) for layer in layers for part in (layer.down, layer.up) for p in part.parameters()}
        for parameter in model.parameters():
            parameter.requires_grad_(id(parameter) in adapters)
        return model

    def n_trained(self, arch: Mapping[str, Option]) -> int:
        """Return the number of parameters of all adapters."""
        return sum(rank * sum(sizes_of(self.layer(path))) for path, rank in self.pattern(arch).items())


def decision_name(path: str) -> str:
    """Return the name of the decision about the rank of a layer."""
    return f"{path}.rank" if path else "rank"


def low_rank_space(
    model: nn.Module,
    example_inputs: Inputs,
    *,
    batches: Iterable[Inputs] | None = None,
    shares: Sequence[float] = SHARES,
    layers: Sequence[str] = ("*",),
    keep: Sequence[str] = (),
    inputs: InputSpec | None = None,
) -> LowRankSpace:
    """Turn a model into the space of models with layers of a lower rank, which inherit its weights by singular values.

    A linear layer becomes two; a convolution becomes one to as many channels as its rank, and one of kernel 1. A rank
    is offered where two layers have fewer parameters than one. Smaller ranks are parts of larger ones, so that a
    supernet of the space trains all of them at once.

    Args:
        model: any module with its weights.
        example_inputs: a batch of what it takes.
        batches: inputs of the model, on which the outputs of layers are approximated; None to approximate weights.
        shares: shares of a layer's parameters that two of a lower rank may have; the given layer is offered too.
        layers: globs of the paths of layers that may vary.
        keep: globs of those that must not.
        inputs: description of the inputs; None for that of the example.

    Raises:
        SpaceError: if the model does not run on the example, a glob names no layer, or nothing can vary.
    """
    for share in shares:
        require(0 < float(share) < 1, "shares must be above 0 and below 1", share)
    _check_runs(model, example_inputs)
    found, fixed = _layers(model, layers, keep)
    ranks = {path: _ranks(layer, shares) for path, layer in found.items()}
    fixed |= {path: "no lower rank has fewer parameters" for path, options in ranks.items() if len(options) < 2}
    ranks = {path: options for path, options in ranks.items() if len(options) > 1}
    varying = {path: found[path] for path in ranks}
    moments = {} if batches is None else moments_of(model, varying, batches)
    factors = {path: Factors(layer, moments.get(path)) for path, layer in varying.items()}
    return LowRankSpace(model, spec_of(example_inputs) if inputs is None else inputs, ranks, fixed, factors)


def adapter_space(
    model: nn.Module,
    example_inputs: Inputs,
    *,
    ranks: Sequence[int] = RANKS,
    scale: float = 2.0,
    layers: Sequence[str] = ("*",),
    keep: Sequence[str] = (),
    inputs: InputSpec | None = None,
) -> AdapterSpace:
    """Turn a model into the space of its adaptations by adapters of low ranks, beside frozen layers.

    Args:
        model: any module with its weights.
        example_inputs: a batch of what it takes.
        ranks: the options of each layer; 0 is no adapter.
        scale: factor of what adapters add: LoRA's alpha over the rank, the same for all ranks.
        layers: globs of the paths of layers that may get an adapter.
        keep: globs of those that must not.
        inputs: description of the inputs; None for that of the example.

    Raises:
        SpaceError: if the model does not run on the example, a glob names no layer, or there is no layer for one.
    """
    for rank in ranks:
        require(isinstance(rank, int) and rank >= 0, "ranks must be whole numbers of at least 0", rank)
    require(len(set(ranks)) == len(ranks) > 1, "ranks must be different, at least two", tuple(ranks))
    positive("scale", scale)
    _check_runs(model, example_inputs)
    found, fixed = _layers(model, layers, keep)
    options = {path: [rank for rank in ranks if rank <= full_rank(layer)] for path, layer in found.items()}
    options = {path: each for path, each in options.items() if len(each) > 1}
    return AdapterSpace(model, spec_of(example_inputs) if inputs is None else inputs, options, fixed, scale)


def _ranks(layer: Layer, shares: Sequence[float]) -> list[int]:
    rows, cols = sizes_of(layer)
    lower = [max(1, round(float(share) * rows * cols / (rows + cols))) for share in sorted(shares, reverse=True)]
    return [
        full_rank(layer),
        *dict.fromkeys(r for r in lower if r < full_rank(layer) and r * (rows + cols) < rows * cols),
    ]


def _check_runs(model: nn.Module, example_inputs: Inputs) -> None:
    try:
        with evaluating(model):
            Arguments.of(example_inputs).call(model)
    except Exception as error:
        raise SpaceError(f"{type(model).__name__} does not run on the example inputs: {one_line(error)}") from error


def _layers(model: nn.Module, globs: Sequence[str], keep: Sequence[str]) -> tuple[dict[str, Layer], dict[str, str]]:
    """Return the layers that have pairs, and the reasons why others have none, by path."""
    globs, keep = ([each] if isinstance(each, str) else list(each) for each in (globs, keep))
    owners: dict[int, int] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    found: dict[str, Layer] = {}
    fixed: dict[str, str] = {}
    paths: list[str] = []
    inside = ""
    for path, module in model.named_modules():
        weight = module._parameters.get("weight")
        if inside and path.startswith(f"{inside}."):
            continue
        inside = path if isinstance(module, nn.MultiheadAttention) else ""
        if inside:
            fixed[path] = "its projections are computed inside of it"
            continue
        if weight is None or weight.ndim < 2:
            continue
        paths.append(path)
        if not any(fnmatchcase(path, glob) for glob in globs) or any(fnmatchcase(path, glob) for glob in keep):
            continue
        reason = reason_against(module) or ("another layer has its weight" if owners[id(weight)] > 1 else "")
        if reason:
            fixed[path] = reason
        else:
            found[path] = module
    for glob in (*globs, *keep):
        if glob != "*" and not any(fnmatchcase(path, glob) for path in paths):
            raise SpaceError(f"{glob!r} names no layer of {type(model).__name__}{did_you_mean(glob, paths)}")
    return found, fixed
