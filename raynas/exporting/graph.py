"""Forward pass of a module as a trace, for classes whose own source cannot be written.

``torch.fx`` traces layers by name. Where it fails, ``torch.export`` traces a network with an example down to the
operations of torch, which keep the names of the weights.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, fx, nn
from torch.utils._pytree import tree_unflatten

from raynas.core.inputs import Arguments
from raynas.errors import RaynasError, one_line
from raynas.exporting.code import Code, SourceError
from raynas.nn.modes import modes_kept
from raynas.nn.programs import make_program

_DELETIONS = re.compile(r"; +(\w+ = )+None$", re.MULTILINE)


@dataclass(frozen=True)
class Graph:
    """A traced forward pass.

    Args:
        codes: the methods by name.
        constants: tensors that the trace found outside of parameters and buffers, by their new names.
        tracer: what traced it.
    """

    codes: Mapping[str, Code]
    constants: Mapping[str, Tensor]
    tracer: str

    @classmethod
    def of(cls, module: nn.Module) -> "Graph":
        """Trace a module with ``torch.fx`` in both modes.

        Raises:
            SourceError: if its control flow depends on its input.
        """
        return cls._in_both_modes(module, _traced, "torch.fx")

    @classmethod
    def exported(cls, network: nn.Module, inputs: Arguments) -> "Graph":
        """Trace a network with ``torch.export`` in both modes, for any size of the batch.

        Raises:
            SourceError: if it cannot be exported, or an argument is no tensor.
        """
        return cls._in_both_modes(network, partial(_exported, inputs=inputs), "torch.export")

    @classmethod
    def _in_both_modes(cls, module: nn.Module, trace: Callable[[nn.Module], fx.GraphModule], tracer: str) -> "Graph":
        traces = {}
        with modes_kept(module):
            for training in (False, True):
                module.train(training)
                traces[training] = trace(module)
        known = _names_of_tensors(module)
        constants = {
            str(node.target): getattr(traces[False], str(node.target))
            for each in traces.values()
            for node in each.graph.nodes
            if node.op == "get_attr" and node.target not in known and "." not in str(node.target)
        }
        evaluating, training_code = (_code(traces[mode], "forward") for mode in (False, True))
        if evaluating.text == training_code.text:
            return cls({"forward": evaluating}, constants, tracer)
        codes = {name: _code(traces[mode], name) for mode, name in _MODES.items()}
        return cls({"forward": Code(_BY_MODE, {}), **codes}, constants, tracer)


_MODES = {False: "evaluate", True: "forward_in_training"}
_BY_MODE = """\
def forward(self, *args, **kwargs):
    run = self.forward_in_training if self.training else self.evaluate
    return run(*args, **kwargs)"""


def _traced(module: nn.Module) -> fx.GraphModule:
    if isinstance(module, fx.GraphModule):
        return module
    try:
        return fx.symbolic_trace(module)
    except Exception as error:
        raise SourceError(f"{type(module).__name__} cannot be traced: {one_line(error)}") from None


def _exported(network: nn.Module, inputs: Arguments) -> fx.GraphModule:
    if not all(isinstance(given, Tensor) for given in (*inputs.args, *inputs.kwargs.values())):
        raise SourceError("torch.export writes no source for arguments that are no tensors")
    try:
        program = make_program(network, inputs)
    except RaynasError as error:
        raise SourceError(one_line(error)) from None
    has_guards = "check_guards" in inspect.signature(program.module).parameters  # since torch 2.9
    trace: Any = program.module(**{"check_guards": False} if has_guards else {})
    trace.graph.set_codegen(_Arguments(len(inputs.args)))
    known = _names_of_tensors(network)
    for node in trace.graph.nodes:
        if node.op == "get_attr" and node.target not in known:
            node.target = str(node.target).removeprefix("network.")  # of the wrapper that makes outputs plain
        if node.op == "output":
            node.args = (tree_unflatten(list(node.args[0]), program.call_spec.out_spec),)
    return trace  # type: ignore[no-any-return]


def _names_of_tensors(module: nn.Module) -> set[str]:
    return {name for name, _ in [*module.named_parameters(), *module.named_buffers()]}


class _Arguments(fx.graph.CodeGen):
    """Writes a function that takes tensors one by one, those after the first ``n_positional`` by keyword alone.

    Those of an example have lost the order of the signature.
    """

    def __init__(self, n_positional: int) -> None:
        super().__init__()
        self._n_positional = n_positional

    def gen_fn_def(self, free_vars: list[str], *options: Any, **others: Any) -> str:
        """Return the line of ``def``."""
        names = [name for name in free_vars if name != "self"]
        by_keyword = names[self._n_positional :]
        star = ["*"] if by_keyword else []
        return super().gen_fn_def(["self", *names[: self._n_positional], *star, *by_keyword], *options, **others)


def _code(trace: fx.GraphModule, name: str) -> Code:
    made = trace.graph.python_code("self")
    text = _DELETIONS.sub("", made.src).strip()
    start = text.index("def forward(")
    return Code(text[start:].replace("def forward(", f"def {name}(", 1).rstrip(), made.globals)
