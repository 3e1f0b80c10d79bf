"""Source code of a class of modules: a constructor that takes what an instance holds, and the given methods."""

import textwrap
from collections.abc import Iterator, Sequence

from torch import nn

from raynas.exporting.code import Code
from raynas.exporting.definitions import Definitions
from raynas.exporting.fields import CONTAINERS, Field, Kind
from raynas.exporting.planning import PlannedClass

PARTS = "parts"
"""Argument of a constructor that takes layers by name, where instances have different ones."""


def class_text(planned: PlannedClass, name: str, definitions: Definitions) -> str:
    """Return the source code of a class.

    Raises:
        SourceError: if a method cannot be written.
    """
    base = planned.methods.base
    home = "nn." if getattr(nn, base.__name__, None) is base else ""
    parent = f"{home}{base.__name__}" if home else definitions.define(base.__name__, base)
    blocks = [*_docstring(planned.summary), *_constructor(planned)]
    blocks += [_method(method, code, definitions) for method, code in planned.methods.codes.items()]
    body = "\n\n".join(textwrap.indent(block, "    ") for block in blocks if block)
    return f"class {name}({parent}):\n{body or '    pass'}"


def arguments(planned: PlannedClass) -> list[str]:
    """Return the arguments of the constructor that are names of fields."""
    instances = list(planned.instances.values())
    names = dict.fromkeys(name for fields in (planned.fullest, *instances) for name in fields)
    if planned.is_uniform:
        return list(names)
    return [n for n in names if not any(f[n].kind is Kind.MODULE for f in instances if n in f)]


def _docstring(summary: str) -> Iterator[str]:
    if summary:
        yield '"""' + summary.replace("\\", "\\\\").replace('"""', "'''") + '"""'


def _method(name: str, code: Code, definitions: Definitions) -> str:
    return code.written(definitions.define)


def _constructor(planned: PlannedClass) -> Iterator[str]:
    base, names = planned.methods.base, arguments(planned)
    if not names and planned.is_uniform:
        return
    given = [] if planned.is_uniform else [PARTS]
    signature = ["self", *_positional(base), *(f"{n}{_hint(n, planned)}" for n in names)]
    signature += [f"{PARTS}: dict[str, nn.Module | None]" for _ in given]
    signature += ["**settings"] if base not in (*CONTAINERS, nn.Module) else []
    lines = [f"def __init__({', '.join(signature)}) -> None:", f"    super().__init__({_forwarded(base)})"]
    lines += _assignments(names, planned)
    lines += [f"    for name, part in {PARTS}.items():", "        self.add_module(name, part)"] if given else []
    if len(lines[0]) > 116:
        lines[0] = "def __init__(\n    " + ",\n    ".join(signature) + ",\n) -> None:"
    yield "\n".join(lines)


def _positional(base: type[nn.Module]) -> Sequence[str]:
    if base is nn.Module:
        return ()
    return ("*layers",) if base is nn.Sequential else ("layers", "*") if base in CONTAINERS else ("*sizes",)


def _forwarded(base: type[nn.Module]) -> str:
    if base is nn.Module:
        return ""
    return "*layers" if base is nn.Sequential else "layers" if base in CONTAINERS else "*sizes, **settings"


def _hint(name: str, planned: PlannedClass) -> str:
    """Return the annotation of an argument."""
    fields = [each[name] for each in planned.instances.values() if name in each]
    types = {_HINTS.get(each.kind) or _PLAIN.get(type(each.value), "") for each in fields if each.value is not None}
    if len(types) != 1 or "" in types:
        return ""
    is_optional = len(fields) < len(planned.instances) or any(each.value is None for each in fields)
    return f": {types.pop()}" + " | None" * is_optional


_HINTS = {Kind.MODULE: "nn.Module", Kind.PARAMETER: "nn.Parameter", Kind.BUFFER: "torch.Tensor"}
_PLAIN = {kind: kind.__name__ for kind in (bool, int, float, str, tuple, list, dict)}


def _assignments(names: Sequence[str], planned: PlannedClass) -> Iterator[str]:
    for name in names:
        fields: list[Field] = [f[name] for f in planned.instances.values() if name in f]
        kinds = {each.kind for each in fields}
        if Kind.BUFFER in kinds:
            yield f'    self.register_buffer("{name}", {name})'
        elif kinds == {Kind.PARAMETER} and any(each.value is None for each in fields):
            yield f'    self.register_parameter("{name}", {name})'
        else:
            yield f"    self.{name} = {name}"
