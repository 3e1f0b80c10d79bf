"""ModelTrace: a trace of a model in eval mode that knows the layer of each operation."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from raynas.core.inputs import Arguments, Inputs
from raynas.errors import RaynasError, one_line
from raynas.nn.dimensions.expressions import Atom, Dimension, resolved
from raynas.nn.dimensions.tracing import INPUT, OUTPUT, Trace, slow_attention, tensors_in
from raynas.nn.modes import evaluating


@dataclass(frozen=True, eq=False)
class Step:
    """An operation of a run.

    Args:
        name: its name in ATen, without the underscore of an operation in place.
        layer: path of the layer that it is part of; empty for an operation between layers.
        arguments: its positional arguments.
        is_in_place: True if it writes into its first argument.
    """

    name: str
    layer: str
    arguments: Sequence[Any]
    is_in_place: bool

    def takes(self, tensor: Tensor) -> bool:
        """Return True if a tensor is among the arguments."""
        return any(each is tensor for each in tensors_in(self.arguments))


class ModelTrace(Trace):
    """The dimensions of all tensors in a forward pass of a model, and the operations and layers of it.

    Layers are the modules without children.

    Args:
        model: looked at in eval mode, not changed.
        input_example: a batch that it can be called with.
        watched: a tensor; ``obstacle`` names what keeps its first dimension from varying alone.

    Raises:
        RaynasError: if the forward pass fails, or its control flow depends on the values of tensors.
    """

    def __init__(self, model: nn.Module, input_example: Inputs, watched: Tensor | None = None) -> None:
        super().__init__()
        self.model = model
        self.steps: list[Step] = []
        self.obstacle: str | None = None
        self._watched = watched
        self._layer = ""
        self._outputs: dict[nn.Module, list[object]] = {}
        for tensor in (*model.parameters(), *model.buffers()):
            self.put_free(tensor)
        self.result = self._run(Arguments.of(input_example))

    def the_output(self, name: str) -> Tensor:
        """Return the output of the layer ``name``, which must be called once.

        Raises:
            RaynasError: if it is not, or its output is no tensor.
        """
        modules = dict(self.model.named_modules(remove_duplicate=False))
        outputs = self._outputs.get(modules[name], []) if name in modules else []
        if len(outputs) != 1 or not isinstance(outputs[0], Tensor):
            paths = {module: path for path, module in self.model.named_modules()}
            known = ", ".join(paths[module] for module in self._outputs)
            raise RaynasError(
                f"layer {name!r} must be called once in a forward pass, got {len(outputs)}; known: {known}"
            )
        return outputs[0]

    def n_calls(self, module: nn.Module) -> int:
        """Return the number of calls of a layer."""
        return len(self._outputs.get(module, ()))

    def users(self, tensor: Tensor) -> list[Step]:
        """Return the operations that take a tensor, up to one that writes into it."""
        found = []
        for step in self.steps:
            if step.takes(tensor):
                found.append(step)
                if step.is_in_place and step.arguments[0] is tensor:
                    break
        return found

    def describe(self, step: Step) -> str:
        """Return the name of an operation, for errors."""
        if step.layer:
            return f"layer {step.layer!r} ({type(self.model.get_submodule(step.layer)).__name__})"
        return f"operation {step.name!r}"

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = super().__torch_dispatch__(func, types, args, kwargs)
        step = Step(self.operation.removesuffix("_"), self._layer, args, self.operation.endswith("_"))
        self.steps.append(step)
        if self._watched is not None and self.obstacle is None and not is_free(self.of(self._watched)[0]):
            self.obstacle = self.describe(step)
        return result

    def _run(self, inputs: Arguments) -> object:
        name = type(self.model).__name__
        self.freeze(inputs, INPUT)
        try:
            with evaluating(self.model), slow_attention(), self._watching(), self:
                result: object = inputs.call(self.model)
        except Exception as error:
            raise RaynasError(f"the forward pass of {name} on the example input failed: {one_line(error)}") from error
        if any(step.name == "_local_scalar_dense" for step in self.steps):
            raise RaynasError(f"{name} cannot be traced, as its control flow must not depend on its input")
        self.freeze(result, OUTPUT)
        return result

    @contextmanager
    def _watching(self) -> Iterator[None]:
        """Note the calls of layers until the context ends."""
        with ExitStack() as stack:
            for path, module in self.model.named_modules():
                if not any(True for _ in module.children()):
                    stack.callback(module.register_forward_pre_hook(self._entering(path)).remove)
                    stack.callback(module.register_forward_hook(self._leave).remove)
            yield

    def _entering(self, path: str) -> Any:
        def enter(module: nn.Module, args: object) -> None:
            self._layer = path

        return enter

    def _leave(self, module: nn.Module, args: object, output: object) -> None:
        self._layer = ""
        self._outputs.setdefault(module, []).append(output)


def is_free(dimension: Dimension) -> bool:
    """Return True if indices of a dimension can be removed, copied or moved by themselves."""
    known = resolved(dimension)
    return isinstance(known, Atom) and known.frozen is None
