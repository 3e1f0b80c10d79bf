"""Source: the file ``model.py``, a network that needs torch alone."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from raynas.core.inputs import Arguments
from raynas.exporting.layout import Expression
from raynas.exporting.network_source import NetworkSource

_OWN: dict[str, object] = {
    name: object() for name in ("build", "load", "read_weights", "network", "DTYPES", "preprocess", "MEAN", "STD")
}
_OWN |= {"torch": torch, "json": json, "Path": Path}

_LOADING = '''

def load(path: str | Path = Path(__file__).with_name("weights.safetensors")) -> nn.Module:
    """Make the network with the weights of a file, in eval mode."""
    network = build()
    network.load_state_dict(read_weights(path))
    return network.eval()


DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file: a header in JSON, and the tensors one behind the other."""
    content = bytearray(Path(path).read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    tensors = {}
    for name, about in header.items():
        first, end = (start + offset for offset in about["data_offsets"])
        flat = torch.frombuffer(content[first:end], dtype=DTYPES[about["dtype"]]) if end > first else torch.empty(0)
        tensors[name] = flat.reshape(about["shape"])
    return tensors
'''


@dataclass(frozen=True)
class Source:
    """The text of ``model.py``, and what its ``state_dict`` holds besides that of the given network.

    Args:
        text: the text.
        extra_state: tensors by name.
    """

    text: str
    extra_state: Mapping[str, Tensor]


def write_source(model: nn.Module, title: str, preprocessing: str = "", inputs: Arguments | None = None) -> Source:
    """Write a network as source code.

    Args:
        model: the network.
        title: what it is, in one line.
        preprocessing: source code of the function that makes its inputs.
        inputs: an example, which lets ``torch.export`` trace a network that cannot be written otherwise.

    Raises:
        SourceError: if a part cannot be written.
    """
    network = NetworkSource(model, _OWN, inputs)
    classes = network.class_texts()
    functions, expression = network.shared()
    build = _function("build", "Make the network, with fresh weights.", expression, "network = ", network.ties)
    shared = [_function(name, "", each, "return ", []) for name, each in functions.items()]
    blocks = list(network.definitions.blocks.values())
    constants = [block for block in blocks if not block.startswith(("def ", "class ", "@"))]
    definitions = [block for block in blocks if block.startswith(("def ", "class ", "@"))]
    body = "\n\n\n".join(["\n".join(constants)] * bool(constants) + [*definitions, *classes, *shared, build])
    text = f"{body}\n{_LOADING}" + (f"\n\n{preprocessing}" if preprocessing else "")
    imports = _used(network.definitions.imports, text)
    return Source(f"{_header(title)}\n\n{imports}\n\n\n{text}", network.extra_state)


def _header(title: str) -> str:
    return (
        f'"""{title}\n\nNeeds torch alone: ``load()`` makes the network with the weights beside this file, ``build()`` '
        'with fresh ones.\n"""\n\nfrom __future__ import annotations'
    )


def _function(name: str, doc: str, expression: Expression, start: str, after: list[str]) -> str:
    lines = [f"def {name}() -> nn.Module:", *([f'    """{doc}"""'] if doc else []), *expression.lines(4, start)]
    lines += [f"    {line}" for statement in after for line in statement.splitlines()]
    lines += ["    return network"] if start != "return " else []
    return "\n".join(lines)


def _used(imports: Mapping[str, str], text: str) -> str:
    """Return the statements of the imports that the text uses, those of one module in one line."""
    lines = {"import json", "import torch", "from pathlib import Path"}
    lines |= {line for name, line in imports.items() if re.search(rf"\b{re.escape(name)}\b", text)}
    plain = sorted(line for line in lines if line.startswith("import "))
    groups: dict[str, list[str]] = {}
    for line in sorted(lines - set(plain)):
        module, _, name = line.removeprefix("from ").partition(" import ")
        groups.setdefault(module, []).append(name)
    joined = [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(groups.items())]
    standard = [line for line in [*plain, *joined] if line.split()[1].partition(".")[0] != "torch"]
    return "\n".join(standard) + "\n\n" + "\n".join(line for line in [*plain, *joined] if line not in standard)
