"""Traces of networks by ``torch.fx``, and the shapes of the tensors in them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from raynas.core.inputs import Arguments, Inputs
from raynas.errors import RaynasError, one_line
from raynas.nn.modes import evaluating


def traced(model: nn.Module) -> fx.GraphModule:
    """Trace a network in eval mode; the modules of the trace are those of the network.

    Raises:
        RaynasError: if it cannot be traced.
    """
    with evaluating(model):
        try:
            return fx.symbolic_trace(model)
        except Exception as error:
            raise RaynasError(
                f"{type(model).__name__} cannot be traced, as its control flow must not depend on its input: "
                f"{one_line(error)}"
            ) from error


class _Shapes(fx.Interpreter):
    """Runs a trace and records the shapes of its tensors."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.shapes: dict[fx.Node, torch.Size] = {}

    def run_node(self, n: fx.Node) -> Any:
        """Run a node and record the shape of its output."""
        result = super().run_node(n)
        if isinstance(result, Tensor) and n.op != "output":
            self.shapes[n] = result.shape
        return result


def shapes_in(trace: fx.GraphModule, input_example: Inputs) -> Mapping[fx.Node, torch.Size]:
    """Run a trace and return the shape of every tensor in it.

    Raises:
        RaynasError: if the forward pass fails.
    """
    interpreter = _Shapes(trace)
    with evaluating(trace):
        try:
            interpreter.run(*_in_order(trace, Arguments.of(input_example)))
        except Exception as error:
            raise RaynasError(f"the forward pass on the example input failed: {one_line(error)}") from error
    return interpreter.shapes


def _in_order(trace: fx.GraphModule, inputs: Arguments) -> list[Any]:
    """Return the arguments of a call in the order of the placeholders of the trace."""
    names = [str(node.target).removeprefix("*") for node in trace.graph.nodes if node.op == "placeholder"]
    return [*inputs.args, *(inputs.kwargs[name] for name in names[len(inputs.args) :] if name in inputs.kwargs)]


def argument_of(node: fx.Node, position: int, name: str) -> object:
    """Return an argument of a traced call, given by position or by name; None if it is absent."""
    return node.args[position] if len(node.args) > position else node.kwargs.get(name)


def function_name(node: fx.Node) -> str:
    """Return the name of a traced function or method, without the underscores of in-place variants."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
    return name.strip("_") if node.op != "output" else "output"
