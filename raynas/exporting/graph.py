"""Forward pass of a module as a trace by ``torch.fx``, for classes whose own source cannot be written."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, fx, nn

from raynas.errors import one_line
from raynas.exporting.code import Code, SourceError
from raynas.nn.modes import modes_kept

_DELETIONS = re.compile(r";( \w+ =)+ None$", re.MULTILINE)


@dataclass(frozen=True)
class Graph:
    """A traced forward pass.

    Args:
        codes: the methods by name.
        constants: tensors that the trace found outside of parameters and buffers, by their new names.
    """

    codes: Mapping[str, Code]
    constants: Mapping[str, Tensor]

    @classmethod
    def of(cls, module: nn.Module) -> "Graph":
        """Trace a module in both modes.

        Raises:
            SourceError: if its control flow depends on its input.
        """
        traces = {}
        with modes_kept(module):
            for training in (False, True):
                module.train(training)
                traces[training] = _traced(module)
        known = {name for name, _ in [*module.named_parameters(), *module.named_buffers()]}
        constants = {
            str(node.target): getattr(traces[False], str(node.target))
            for trace in traces.values()
            for node in trace.graph.nodes
            if node.op == "get_attr" and node.target not in known and "." not in str(node.target)
        }
        evaluating, training_code = (_code(traces[mode], "forward") for mode in (False, True))
        if evaluating.text == training_code.text:
            return cls({"forward": evaluating}, constants)
        codes = {name: _code(traces[mode], name) for mode, name in _MODES.items()}
        return cls({"forward": Code(_BY_MODE, {}), **codes}, constants)


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


def _code(trace: fx.GraphModule, name: str) -> Code:
    made = trace.graph.python_code("self")
    text = _DELETIONS.sub("", made.src).strip()
    start = text.index("def forward(")
    return Code(text[start:].replace("def forward(", f"def {name}(", 1).rstrip(), made.globals)
