"""Plan of a written network: the class of each of its modules, and the fields of the instances of each class."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from keyword import iskeyword

from torch import Tensor, fx, nn

from raynas.core.inputs import Arguments
from raynas.exporting.code import Code, SourceError
from raynas.exporting.definitions import Definitions
from raynas.exporting.fields import CONTAINERS, Field, Kind, fields_of, value_text
from raynas.exporting.graph import Graph
from raynas.exporting.layers import arguments_of, is_torchs, replaced_parts
from raynas.exporting.methods import Methods

_GROUP = "Group"


@dataclass
class PlannedClass:
    """A class to write.

    Args:
        name: its name in the user's code.
        methods: its methods.
        summary: its docstring.
        instances: the fields of its instances, by the id of the module.
    """

    name: str
    methods: Methods
    summary: str
    instances: dict[int, dict[str, Field]] = field(default_factory=dict)

    @property
    def is_uniform(self) -> bool:
        """True if all instances have the same fields, with names that arguments can have."""
        names = [set(fields) for fields in self.instances.values()]
        fit = all(name.isidentifier() and not iskeyword(name) for name in names[0])
        return fit and all(each == names[0] for each in names)

    @property
    def fullest(self) -> dict[str, Field]:
        """The fields of the instance with the most modules, whose order counts: an absent one is a mere value."""
        return max(self.instances.values(), key=lambda fields: sum(f.kind is Kind.MODULE for f in fields.values()))


class Plan:
    """Classes of the modules of a network.

    A class of the user's keeps its methods word for word. Where its source is out of reach, a trace by ``torch.fx``
    takes their place, and the modules inside become mere groups of layers.

    Args:
        model: the network.
        inputs: an example, with which ``torch.export`` traces the whole network if it can be written in no other way.

    Raises:
        SourceError: if a module can be written in none of these ways.
    """

    def __init__(self, model: nn.Module, inputs: Arguments | None = None) -> None:
        self.classes: dict[object, PlannedClass] = {}
        self._key_of: dict[int, object] = {}
        self._constants: dict[int, Mapping[str, Tensor]] = {}
        try:
            self._find(model, in_trace=False)
        except SourceError as error:
            if inputs is None:
                raise
            self._export(model, inputs, error)
        codes = [code for each in self.classes.values() for code in each.methods.codes.values()]
        layers = {type(module) for module in model.modules() if is_torchs(module) and any(replaced_parts(module))}
        codes += [Code.of(layer.forward) for layer in layers if layer not in (*CONTAINERS, nn.Module)]
        read = frozenset(name for code in codes for name in code.attributes)
        for module in model.modules():
            if planned := self.class_of(module):
                constants = self._constants.get(id(module), {})
                planned.instances[id(module)] = {
                    **fields_of(module, planned.methods, read),
                    **{name: Field(Kind.BUFFER, tensor) for name, tensor in constants.items()},
                }

    def class_of(self, module: nn.Module) -> PlannedClass | None:
        """Return the class of a module; None for the layers and containers of torch."""
        key = self._key_of.get(id(module))
        return None if key is None else self.classes[key]

    def _find(self, module: nn.Module, *, in_trace: bool) -> None:
        if id(module) in self._key_of:
            return
        _refuse_hooks(module)
        is_layer = is_torchs(module) and type(module) is not nn.Module
        self._key_of[id(module)] = None if is_layer else self._key(module, in_trace)
        # A trace calls a layer of torch as a whole, so that what was replaced inside keeps its class.
        in_trace = in_trace and not (is_layer and type(module) not in CONTAINERS)
        for child in module.children():
            self._find(child, in_trace=in_trace or self._key_of[id(module)] == id(module))

    def _key(self, module: nn.Module, in_trace: bool) -> object:
        if in_trace or type(module) is nn.Module:
            self.classes.setdefault(_GROUP, PlannedClass(_GROUP, _NO_METHODS, "Layers that another module calls."))
            return _GROUP
        kind = type(module)
        try:
            self._add_class(module)
            return kind
        except SourceError as error:
            reason = error
        try:
            self._add_trace(module, Graph.of(module))
        except SourceError as error:
            raise SourceError(f"{reason}; {error}") from None
        return id(module)

    def _export(self, model: nn.Module, inputs: Arguments, reason: SourceError) -> None:
        """Let a trace of the whole network take the place of all classes."""
        try:
            graph = Graph.exported(model, inputs)
        except SourceError as error:
            raise SourceError(f"{reason}; {error}") from None
        self.classes.clear()
        self._key_of = {id(model): id(model)}
        self._constants.clear()
        self._add_trace(model, graph)
        for child in model.children():
            self._find(child, in_trace=True)

    def _add_trace(self, module: nn.Module, graph: Graph) -> None:
        name = type(module).__name__
        methods = Methods(nn.Module, graph.codes, frozenset(), False)
        self.classes[id(module)] = PlannedClass(name, methods, f"{name}, as traced by {graph.tracer}.")
        self._constants[id(module)] = graph.constants

    def _add_class(self, module: nn.Module) -> None:
        """Plan the class of a module.

        Raises:
            SourceError: if its source cannot be written with the values of the module.
        """
        kind = type(module)
        if isinstance(module, fx.GraphModule):
            raise SourceError(f"{kind.__name__} is a trace")
        methods = self.classes[kind].methods if kind in self.classes else Methods.of(kind)
        trial = Definitions()
        for code in methods.codes.values():
            code.written(trial.define)
        for name, each in fields_of(module, methods, frozenset()).items():
            if each.kind is Kind.VALUE:
                value_text(name, each.value, name in methods.attributes, trial, kind.__name__)
        if "forward" in vars(module):
            raise SourceError(f"forward was set on a {kind.__name__}, not written in its class")
        if methods.base not in (*CONTAINERS, nn.Module):
            arguments_of(module, trial)
        summary = (inspect.getdoc(kind) or "").partition("\n\n")[0] if "__doc__" in vars(kind) else ""
        self.classes.setdefault(kind, PlannedClass(kind.__name__, methods, summary))


_NO_METHODS = Methods(nn.Module, {}, frozenset(), False)


def _refuse_hooks(module: nn.Module) -> None:
    hooks = ("_forward_hooks", "_forward_pre_hooks")
    if any(getattr(module, name) for name in hooks):
        raise SourceError(f"a {type(module).__name__} has hooks, which source code cannot hold; remove them")
