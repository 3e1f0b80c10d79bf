"""NetworkSource: a network as classes and one constructor call, which need torch alone."""

import re
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor, nn

from raynas.core.inputs import Arguments
from raynas.exporting.class_text import PARTS, arguments, class_text
from raynas.exporting.definitions import Definitions
from raynas.exporting.fields import CONTAINERS, Field, Kind, tensor_expression, value_text
from raynas.exporting.layers import arguments_of, replaced_parts
from raynas.exporting.layout import Expression, call
from raynas.exporting.planning import Plan, PlannedClass

MIN_SHARED = 90
"""Length in characters from which a part that occurs twice becomes a function."""


class NetworkSource:
    """Source code of a network.

    Args:
        model: the network.
        reserved: names that the file defines itself, and their values.
        inputs: an example, see ``Plan``.

    Attributes:
        extra_state: tensors that the written network holds in its ``state_dict`` and the given one does not, such as
            buffers that are not persistent.
        ties: statements that let parts of the network share modules and parameters.

    Raises:
        SourceError: if a part cannot be written.
    """

    def __init__(self, model: nn.Module, reserved: Mapping[str, object], inputs: Arguments | None = None) -> None:
        self.definitions = Definitions()
        for name, value in reserved.items():
            self.definitions.reserve(name, value)
        self.definitions.define("nn", nn)
        self.extra_state: dict[str, Tensor] = {}
        self.ties: list[str] = []
        self._model, self._plan = model, Plan(model, inputs)
        self._saved = set(model.state_dict())
        self._paths: dict[int, str] = {}
        self._names = {id(c): self.definitions.reserve(c.name, c) for c in self._plan.classes.values() if c.instances}
        self.expression = self._module(model, "")
        self.ties += [*self._tied_parameters(), *self._frozen()]

    def class_texts(self) -> list[str]:
        """Return the source code of the classes.

        Raises:
            SourceError: if a method cannot be written.
        """
        planned = [each for each in self._plan.classes.values() if each.instances]
        return [class_text(each, self._names[id(each)], self.definitions) for each in planned]

    def shared(self) -> tuple[dict[str, Expression], Expression]:
        """Return functions for parts that occur more than once, and the network that calls them."""
        counts = Counter(_flats(self.expression))
        functions: dict[str, Expression] = {}
        names: dict[str, str] = {}

        def rewritten(part: Expression) -> Expression:
            flat = part.flat
            if flat in names:
                return Expression(f"{names[flat]}()")
            new = Expression(part.head, [(prefix, rewritten(each)) for prefix, each in part.parts], part.tail)
            if counts[flat] < 2 or len(flat) < MIN_SHARED or not part.tail.endswith(")"):
                return new
            names[flat] = self.definitions.reserve(_function_name(part.head), part)
            functions[names[flat]] = new
            return Expression(f"{names[flat]}()")

        return functions, rewritten(self.expression)

    def _module(self, module: nn.Module | None, path: str) -> Expression:
        if module is None:
            return Expression("None")
        if id(module) in self._paths:
            self.ties.append(_assignment(self._model, path, _access(self._model, self._paths[id(module)])))
            return Expression("nn.Identity()")
        self._paths[id(module)] = path
        planned = self._plan.class_of(module)
        if planned is not None:
            return self._instance(module, planned, path)
        if type(module) in CONTAINERS:
            return self._container(self._torch_name(module), module, path, [])
        if isinstance(module, nn.TransformerEncoder | nn.TransformerDecoder):
            return self._stack(module, path)
        for name, part in replaced_parts(module):
            self._assign(part, _join(path, name))
        return Expression(f"{self._torch_name(module)}({', '.join(arguments_of(module, self.definitions))})")

    def _assign(self, module: nn.Module, path: str, usual: str = "") -> str:
        """Assign a module after its parents were made, and before what its own parts need; return its source code.

        Args:
            module: the module.
            path: its place.
            usual: source code of what is there already.
        """
        first = len(self.ties)
        text = self._module(module, path).flat
        if text != usual:
            self.ties.insert(first, _assignment(self._model, path, text))
        return text

    def _torch_name(self, module: nn.Module) -> str:
        kind = type(module)
        if getattr(nn, kind.__name__, None) is kind:
            return f"nn.{kind.__name__}"
        return self.definitions.define(kind.__name__, kind)

    def _instance(self, module: nn.Module, planned: PlannedClass, path: str) -> Expression:
        fields, base = planned.instances[id(module)], planned.methods.base
        name = self._names[id(planned)]
        given = [(f"{n}=", self._field(n, fields.get(n), module, planned, path)) for n in arguments(planned)]
        if not planned.is_uniform and base not in CONTAINERS:
            named = set(arguments(planned))
            inside = {n: f.value for n, f in fields.items() if n not in named}
            parts = [(f'"{n}": ', self._module(m, _join(path, n))) for n, m in inside.items()]
            given.append((f"{PARTS}=", Expression("{", parts, "}")))
        if base in CONTAINERS:
            return self._container(name, module, path, given)
        sizes = [] if base is nn.Module else arguments_of(module, self.definitions)
        return Expression(f"{name}(", [*(("", Expression(text)) for text in sizes), *given], ")")

    def _field(self, name: str, each: Field | None, module: nn.Module, planned: PlannedClass, path: str) -> Expression:
        if each is None:
            return Expression("None")
        if each.kind is Kind.MODULE:
            return self._module(each.value, _join(path, name))
        if each.kind is Kind.VALUE:
            needed = name in planned.methods.attributes
            text = value_text(name, each.value, needed, self.definitions, type(module).__name__)
            return Expression(text or "None")
        if each.value is not None and _join(path, name) not in self._saved:
            self.extra_state[_join(path, name)] = each.value
        return tensor_expression(each.value, each.kind is Kind.PARAMETER, self.definitions)

    def _container(
        self, name: str, module: nn.Module, path: str, given: Sequence[tuple[str, Expression]]
    ) -> Expression:
        children = {n: self._module(child, _join(path, n)) for n, child in module._modules.items()}
        pairs = [(f'"{n}": ', each) for n, each in children.items()]
        items = [("", each) for each in children.values()]
        if isinstance(module, nn.ModuleDict):
            return _held(f"{name}({{", pairs, "}", given)
        if isinstance(module, nn.ModuleList):
            return _held(f"{name}([", items, "]", given)
        if list(children) == [str(i) for i in range(len(children))]:
            return Expression(f"{name}(", [*items, *given], ")")
        ordered = self.definitions.define("OrderedDict", OrderedDict)
        return _held(f"{name}({ordered}({{", pairs, "})", given)

    def _stack(self, module: nn.TransformerEncoder | nn.TransformerDecoder, path: str) -> Expression:
        first = self._module(module.layers[0], _join(path, "layers.0")).flat
        for i, each in enumerate(list(module.layers)[1:], 1):
            self._assign(each, _join(path, f"layers.{i}"), usual=first)
        options = {"norm": self._module(module.norm, _join(path, "norm"))}
        if not getattr(module, "enable_nested_tensor", True):
            options["enable_nested_tensor"] = Expression("False")
        name = self._torch_name(module)
        return call(name, Expression(first), Expression(str(len(module.layers))), **options)

    def _tied_parameters(self) -> Iterator[str]:
        first: dict[int, str] = {}
        for owner_path, owner in self._model.named_modules():
            for name, parameter in owner.named_parameters(recurse=False, remove_duplicate=False):
                path = _join(owner_path, name)
                if id(parameter) in first:
                    yield f"{_access(self._model, path)} = {_access(self._model, first[id(parameter)])}"
                else:
                    first[id(parameter)] = path

    def _frozen(self) -> Iterator[str]:
        names = [n for n, p in self._model.named_parameters() if not p.requires_grad and p.is_floating_point()]
        if names:
            listed = "".join(f'    "{name}",\n' for name in names)
            yield f"for name in (\n{listed}):\n    network.get_parameter(name).requires_grad_(False)"


def _held(
    head: str, parts: Sequence[tuple[str, Expression]], tail: str, given: Sequence[tuple[str, Expression]]
) -> Expression:
    """Return the call of a container, with further arguments behind its layers."""
    others = "".join(f", {prefix}{each.flat}" for prefix, each in given)
    return Expression(head, parts, f"{tail}{others})")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _access(model: nn.Module, path: str) -> str:
    text, owner = "network", model
    for name in path.split("."):
        if name.isidentifier():
            text += f".{name}"
        elif isinstance(owner, nn.Sequential | nn.ModuleList) and name.isdigit() and name in owner._modules:
            text += f"[{list(owner._modules).index(name)}]"
        else:
            text += f'.get_submodule("{name}")'
        owner = getattr(owner, name)
    return text


def _assignment(model: nn.Module, path: str, value: str) -> str:
    parent, _, name = path.rpartition(".")
    owner = _access(model, parent) if parent else "network"
    return f"{owner}.{name} = {value}" if name.isidentifier() else f'setattr({owner}, "{name}", {value})'


def _flats(part: Expression) -> Iterator[str]:
    yield part.flat
    for _, each in part.parts:
        yield from _flats(each)


def _function_name(head: str) -> str:
    name = head.partition("(")[0].rpartition(".")[2]
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
