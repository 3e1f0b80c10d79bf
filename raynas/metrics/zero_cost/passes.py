"""View of a network for zero-cost proxies: its reaction to one batch, computed once for all of them.

Everything runs on a copy of the network, in train mode, in channels-last order: batch norms use the batch's own
statistics, as at the first step of training. All randomness (dropout, random inputs) comes from one seed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils._python_dispatch import TorchDispatchMode

from raynas.accelerators import forked_rng
from raynas.core.inputs import Arguments
from raynas.errors import RaynasError
from raynas.metrics.zero_cost.copies import channels_last, copied

T = TypeVar("T")

Loss = Callable[[Tensor, Tensor], Tensor]
"""Maps outputs and labels to a scalar."""


class Batch(NamedTuple):
    """Examples that a network is looked at with.

    Args:
        inputs: what the network takes, see ``Inputs``; images of shape ``(batch, *input_shape)`` are normalised as for
            training.
        labels: shape ``(batch,)``.
    """

    inputs: Any
    labels: Tensor


class Part(Enum):
    """Quantities that one forward pass of a batch can record."""

    WEIGHT_GRADIENTS = auto()
    MAP_GRADIENTS = auto()
    INPUT_GRADIENT = auto()
    CODES = auto()


@dataclass(frozen=True)
class View:
    """A network, a batch and a loss, and what follows from them; each part is computed when it is first asked for.

    Args:
        model: never changed.
        batch: at least two examples.
        loss: of outputs and labels.
        seed: of dropout and random inputs.
        parts: what the forward pass that several proxies share has to show.
    """

    model: nn.Module
    batch: Batch
    loss: Loss
    seed: int = 0
    parts: frozenset[Part] = frozenset(Part)

    def fresh_copy(self) -> nn.Module:
        """Return a copy of the model that may be changed: in train mode, all parameters trainable, nothing in place."""
        model = copied(self.model).train()
        for parameter in model.parameters():
            parameter.requires_grad_(parameter.is_floating_point() and parameter.ndim > 1)
        for module in model.modules():
            if getattr(module, "inplace", False) is True:
                module.inplace = False  # type: ignore[assignment]  # what a layer put out must stay to be looked at
        return model

    @contextmanager
    def seeded(self) -> Iterator[None]:
        """Seed random numbers and enable gradients within a block, whatever the caller's state."""
        with forked_rng(self.device), torch.inference_mode(False), torch.enable_grad():
            torch.manual_seed(self.seed)
            yield

    @cached_property
    def device(self) -> torch.device:
        """Device of the model."""
        return next((p.device for p in self.model.parameters()), self.batch.labels.device)

    @cached_property
    def inputs(self) -> Arguments:
        """The batch's inputs where the model is."""
        return Arguments.of(self.batch.inputs).to(self.device).map_real(channels_last)

    @cached_property
    def labels(self) -> Tensor:
        """The batch's labels where the model is."""
        return self.batch.labels.to(self.device)

    @cached_property
    def _shared(self) -> dict[str, Any]:
        return {}

    def shared(self, name: str, compute: Callable[[], T]) -> T:
        """Return ``compute()``, computed once for all proxies that request it by this name."""
        if name not in self._shared:
            self._shared[name] = compute()
        found: T = self._shared[name]
        return found

    @cached_property
    def seen(self) -> "Seen":
        """One forward pass and as many backward passes as ``parts`` take."""
        with self.seeded():
            return _look(self)

    def loss_gradients(self, model: nn.Module, inputs: Arguments, labels: Tensor) -> list[Tensor]:
        """Return the gradient of the loss for each weight of ``model``."""
        return gradients(self.loss(outputs_of(model, inputs), labels), weights_of(model))


@dataclass(frozen=True)
class Seen:
    """Record of one forward pass; quantities that were not requested are empty.

    Args:
        n_outputs: width of the output.
        weights: the tensors with two or more dimensions among the parameters.
        weight_gradients: of the loss, for each.
        maps: what each layer with weights put out.
        map_gradients: of the loss, for each.
        map_weights: number of weights of each of these layers.
        input_gradient: of the sum of all outputs, for the input, ``(batch, ...)``; for several inputs in a row, and for
            inputs of whole numbers, such as token ids, for their embeddings. Empty if there are none.
        agreement: how many activations of two examples are both on or both off, ``(batch, batch)``, float64.
    """

    n_outputs: int
    weights: list[Tensor]
    weight_gradients: list[Tensor]
    maps: list[Tensor]
    map_gradients: list[Tensor]
    map_weights: list[int]
    input_gradient: Tensor
    agreement: Tensor


def _look(view: View) -> Seen:
    model, parts = view.fresh_copy(), view.parts
    weights = weights_of(model)
    inputs = view.inputs.map_real(lambda x: x.detach().requires_grad_(bool(parts - {Part.CODES})))
    sources = [tensor for tensor in inputs.tensors if tensor.is_floating_point()]
    if Part.INPUT_GRADIENT in parts and not sources:
        _collect_embeddings(model, inputs.n_examples, sources)
    maps: list[Tensor] = []
    map_weights: list[int] = []
    if Part.MAP_GRADIENTS in parts:
        _collect_maps(model, maps, map_weights)
    codes = Codes(inputs.n_examples)
    with torch.set_grad_enabled(bool(parts - {Part.CODES})):
        if Part.CODES in parts:
            with codes:
                outputs = outputs_of(model, inputs)
        else:
            outputs = outputs_of(model, inputs)
    wanted = weights if Part.WEIGHT_GRADIENTS in parts else []
    of_loss: list[Tensor] = []
    # Only what is asked for is computed: without weights among them, a backward pass costs a half.
    if targets := [*wanted, *maps]:
        loss = view.loss(outputs, view.labels)
        of_loss = gradients(loss, targets, retain_graph=Part.INPUT_GRADIENT in parts)
    of_inputs = gradients(outputs.sum(), sources) if Part.INPUT_GRADIENT in parts else []
    return Seen(
        n_outputs=outputs.shape[-1],
        weights=[weight.detach() for weight in weights],
        weight_gradients=of_loss[: len(wanted)],
        maps=[each.detach() for each in maps],
        map_gradients=of_loss[len(wanted) :],
        map_weights=map_weights,
        input_gradient=of_inputs[0] if len(of_inputs) == 1 else _joined(of_inputs),
        agreement=codes.agreement,
    )


def _joined(tensors: list[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(len(tensor), -1) for tensor in tensors], 1) if tensors else torch.empty(0)


def _collect_embeddings(model: nn.Module, n: int, found: list[Tensor]) -> None:
    """Collect the outputs of embeddings that have a row for each of n examples, unlike those of positions."""

    def collect(module: nn.Module, args: Any, output: Any) -> None:
        if output.requires_grad and len(output) == n:
            found.append(output)

    for module in model.modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            module.register_forward_hook(collect)


def _collect_maps(model: nn.Module, maps: list[Tensor], n_weights: list[int]) -> None:
    def collect(module: nn.Module, args: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.requires_grad:
            maps.append(output)
            n_weights.append(module.weight.numel())  # type: ignore[operator]

    for module in model.modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, nn.Parameter) and weight.ndim > 1:
            module.register_forward_hook(collect)


_FUNCTIONS = ("relu", "relu6", "hardtanh", "leaky_relu", "elu", "gelu", "silu", "hardswish")
_ACTIVATIONS = frozenset(
    getattr(torch.ops.aten, name) for each in _FUNCTIONS for name in (each, f"{each}_") if hasattr(torch.ops.aten, name)
)


class Codes(TorchDispatchMode):
    """Compares what the activation functions that run under it switch on for the examples of a batch.

    Args:
        n: number of examples; activations with another first dimension are left out.
    """

    def __init__(self, n: int) -> None:
        super().__init__()
        self._n = n
        self.agreement = torch.empty(0)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket in _ACTIVATIONS and args[0].ndim > 1 and len(args[0]) == self._n:
            self._compare(args[0])
        return func(*args, **(kwargs or {}))

    def _compare(self, x: Tensor) -> None:
        is_on = (x > 0).to(torch.float32)
        if is_on.ndim == 4:
            is_on = is_on.permute(0, 2, 3, 1)  # in memory order; the order of units does not matter
        is_on = is_on.reshape(len(x), -1)
        counts = is_on.sum(1, dtype=torch.float64)
        # Both on, plus both off: n - on_i - on_j + both on. Counts below 2**24 are exact in float32.
        agreement = 2 * (is_on @ is_on.T).double() + is_on.shape[1] - counts[:, None] - counts[None, :]
        self.agreement = agreement if not self.agreement.numel() else self.agreement + agreement


# --- helpers ---------------------------------------------------------------------------------------------------------


def weights_of(model: nn.Module) -> list[Tensor]:
    """Return the weights with two or more dimensions; biases and the parameters of norms have fewer."""
    return [p for p in model.parameters() if p.ndim > 1 and p.requires_grad]


def norms_of(model: nn.Module) -> list[nn.Module]:
    """Return the normalisation layers."""
    kinds = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm)
    return [module for module in model.modules() if isinstance(module, kinds)]


def gradients(y: Tensor, targets: list[Tensor], *, retain_graph: bool = False) -> list[Tensor]:
    """Return the gradient of a scalar for each target; zeros for those it does not depend on (dead edges)."""
    if not y.requires_grad:
        return [torch.zeros_like(target) for target in targets]
    found = torch.autograd.grad(y, targets, retain_graph=retain_graph, allow_unused=True)
    return [torch.zeros_like(t) if g is None else g for t, g in zip(targets, found, strict=True)]


def outputs_of(model: nn.Module, inputs: Arguments) -> Tensor:
    """Return the output of the network.

    Raises:
        RaynasError: if that is not a tensor.
    """
    outputs = inputs.call(model)
    if not isinstance(outputs, Tensor):
        raise RaynasError(f"zero-cost proxies need a network that gives one tensor, got a {type(outputs).__name__}")
    return outputs
