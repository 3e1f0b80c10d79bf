"""Net2WiderNet: a network with a wider layer that computes the same function.

Chen, Goodfellow and Shlens, "Net2Net: Accelerating Learning via Knowledge Transfer" (ICLR 2016, arXiv:1511.05641). Here
additions, concatenations, depthwise convolutions and flattened images between a widened layer and its consumers are
followed too, and every layer that an addition ties to it is widened alike.
"""

import copy
from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from raynas.core.inputs import Inputs
from raynas.errors import RaynasError
from raynas.nn.dimensions.expressions import Atom, Dimension, Kept, atoms, positions, resolved, size_of
from raynas.nn.dimensions.layer_sizes import set_sizes
from raynas.nn.dimensions.model_trace import ModelTrace
from raynas.nn.dimensions.tracing import INPUT, OUTPUT
from raynas.nn.morphism.identity import add_noise_, check_same_function
from raynas.nn.morphism.layer_kinds import Conv, Norm, is_depthwise


def widen(
    model: nn.Module,
    layer_name: str,
    n_out: int,
    *,
    input_example: Inputs,
    rng: np.random.Generator,
    noise: float = 0.0,
) -> nn.Module:
    """Net2WiderNet: replicate random units of a layer and divide the weights that read them by the replication count.

    The result computes the same in eval mode, and in training mode too as long as there is no dropout. Layers between
    it and its consumers (batch norm, depthwise convolutions) are widened with it, and so is every other layer that an
    addition ties to it.

    Args:
        model: the network; not changed.
        layer_name: dotted name of a convolution (without groups) or linear layer.
        n_out: its new number of output channels or features, more than now.
        input_example: a batch that the network can be called with, shape ``(batch, ...)``.
        rng: chooses the units.
        noise: standard deviation of the noise on the weights of the copies, as a share of the standard deviation of the
            layer's weights. It breaks the symmetry of copies, which would otherwise stay equal in a network without
            dropout; the function is then preserved approximately.

    Returns:
        A wider network with the same names.

    Raises:
        RaynasError: if there is no such layer, ``n_out`` is not more than now, the network cannot be traced, or its
            channels cannot be changed, e.g. because they are the output.
        ValueError: if ``noise`` is negative.
    """
    if not noise >= 0:
        raise ValueError(f"noise must be at least 0, got {noise}")
    widening = Widening(model, input_example)
    kept = dict([widening.copies(layer_name, n_out, {}, rng)])
    wider = widening.applied(kept)
    check_same_function(model, wider, input_example, f"widening {layer_name!r}")
    if noise:
        for path, copies in widening.copied_rows(kept):
            _add_noise(wider.get_parameter(f"{path}.weight" if path else "weight"), copies, noise, rng)
    return wider


class Widening:
    """Wider networks of a model, planned on a trace of it.

    A plan (``Kept``) holds, for each group of units that becomes wider, the index of the old unit that each new one
    copies.

    Args:
        model: the network; not changed.
        input_example: a batch that it can be called with.

    Raises:
        RaynasError: if it cannot be traced.
    """

    def __init__(self, model: nn.Module, input_example: Inputs) -> None:
        self.model = model
        self._input_example = input_example
        self._trace = ModelTrace(model, input_example)
        owners = Counter(id(tensor) for module in model.modules() for tensor in module.parameters(recurse=False))
        self._shared = {tensor for tensor, n_owners in owners.items() if n_owners > 1}

    def width(self, layer_name: str, kept: Kept) -> int:
        """Return the number of units of a layer under a plan."""
        return size_of(self._outputs_of(layer_name), kept)

    def copies(self, layer_name: str, n_out: int, kept: Kept, rng: np.random.Generator) -> tuple[Atom, Tensor]:
        """Return the group of a layer's units, and the index of the old one that each of them copies.

        Args:
            layer_name: of the layer.
            n_out: its new number of units.
            kept: the plan before.
            rng: chooses the units to copy.

        Raises:
            RaynasError: if the layer cannot be widened.
        """
        self._trace.the_output(layer_name)
        units, n_now = self._outputs_of(layer_name), self.width(layer_name, kept)
        if n_out <= n_now:
            raise RaynasError(f"widening {layer_name!r} needs n_out > {n_now}, which it has, got {n_out}")
        if not isinstance(units, Atom) or units.frozen:
            raise RaynasError(f"the channels cannot be changed: {self._obstacle(layer_name)}")
        self._check(units)
        # The mapping g of equation 1.
        new = torch.from_numpy(rng.integers(units.size, size=n_out - n_now))
        return units, torch.cat([positions(units, kept), new])

    def _outputs_of(self, layer_name: str) -> Dimension:
        layer = self.model.get_submodule(layer_name)
        if isinstance(layer, (*Conv, nn.Linear)) and not is_depthwise(layer):
            return resolved(self._trace.of(layer.weight)[0])
        raise RaynasError(
            f"only a convolution without groups or a linear layer can be widened, and {layer_name!r} is {layer}: "
            "a depthwise one is widened with the layer before it"
        )

    def changed(self, kept: Kept) -> Iterator[tuple[str, str, list[int]]]:
        """Yield the tensors that a plan changes: the path of the layer, the name of the tensor there, its new shape."""
        for path, module in self.model.named_modules():
            for name, tensor in _own(module).items():
                dimensions = self._trace.of(tensor)
                if not kept.keys().isdisjoint(atom for dimension in dimensions for atom in atoms(dimension)):
                    yield path, name, [size_of(dimension, kept) for dimension in dimensions]

    def copied_rows(self, kept: Kept) -> Iterator[tuple[str, Tensor]]:
        """Yield the layers of which a plan copies units, with the index of the old unit that each new one copies."""
        for path, module in self.model.named_modules():
            if isinstance(module, (*Conv, nn.Linear)) and not is_depthwise(module):
                units = self._trace.of(module.weight)[0]
                if size_of(units, kept) != units.size:
                    yield path, positions(units, kept)

    def applied(self, kept: Kept) -> nn.Module:
        """Return a copy of the network with the units of a plan."""
        wider = copy.deepcopy(self.model)
        changed = [(path, name) for path, name, _ in self.changed(kept)]
        for path, name in changed:
            _replace(wider.get_submodule(path), name, self._copied(getattr(self.model.get_submodule(path), name), kept))
        for path in dict.fromkeys(path for path, _ in changed):
            weight = getattr(self.model.get_submodule(path), "weight", None)
            source = self._trace.inputs_of.get(id(weight))
            set_sizes(wider.get_submodule(path), None if source is None else size_of(source, kept))
        return wider

    def _copied(self, tensor: Tensor, kept: Kept) -> Tensor:
        """Apply equation 2 of the paper: replicate rows; replicate columns, divided by the number of copies."""
        for axis, dimension in enumerate(self._trace.of(tensor)):
            if size_of(dimension, kept) == dimension.size:
                continue
            copies = positions(dimension, kept).to(tensor.device)
            tensor = tensor.detach().index_select(axis, copies)
            if axis == 1:
                tensor /= n_copies(copies).to(tensor.dtype).view(-1, *[1] * (tensor.dim() - 2))
        return tensor

    def _check(self, atom: Atom) -> None:
        """Refuse to copy units that meet a layer of an unknown kind, or an operation that copies would change."""
        for path, *_ in self.changed({atom: torch.arange(atom.size)}):
            module = self.model.get_submodule(path)
            if not isinstance(module, (*Conv, *Norm, nn.Linear)):
                name = f"layer {path!r} ({type(module).__name__})"
                raise RaynasError(f"the channels cannot be changed: nothing is known of {name}")
            own = {id(parameter) for parameter in module.parameters(recurse=False)}
            if self._trace.n_calls(module) != 1 or is_parametrized(module) or own & self._shared:
                raise RaynasError(
                    f"layer {path!r} cannot be widened: it is called twice, or its weights are not its own"
                )
        for dimension, operation in self._trace.mixed:
            if atom in atoms(dimension):
                raise RaynasError(f"the channels cannot be changed: operation {operation!r} computes with all of them")

    def _obstacle(self, layer_name: str) -> str:
        """Return the reason why the units of a layer cannot be copied."""
        units = self._outputs_of(layer_name)
        reasons = {atom.frozen for atom in atoms(units)}
        for reason in (INPUT, OUTPUT):
            if reason in reasons:
                return f"they belong to {reason}"
        weight = self.model.get_submodule(layer_name).get_parameter("weight")
        found = ModelTrace(self.model, self._input_example, watched=weight).obstacle
        if isinstance(units, Atom):
            return f"{found} fixes their number ({units.frozen})"
        return f"{found} joins them with others or takes them apart"


def n_copies(copies: Tensor) -> Tensor:
    """Return for each new unit the number of new units that copy the same old one, shape ``(n_new,)``."""
    return torch.bincount(copies)[copies]


def _own(module: nn.Module) -> Mapping[str, Tensor]:
    return {**dict(module.named_parameters(recurse=False)), **dict(module.named_buffers(recurse=False))}


def _replace(module: nn.Module, name: str, new: Tensor) -> None:
    old = getattr(module, name)
    setattr(module, name, nn.Parameter(new, old.requires_grad) if isinstance(old, nn.Parameter) else new)


def _add_noise(weight: Tensor, copies: Tensor, noise: float, rng: np.random.Generator) -> None:
    """Add noise to all but the first copy of each unit."""
    seen: set[int] = set()
    scale = noise * float(weight.detach().std())
    for row, source in enumerate(copies.tolist()):
        if source in seen:
            add_noise_(weight[row], scale, rng)
        seen.add(source)
