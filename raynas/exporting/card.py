"""Card of an exported network: the file ``README.md``."""

import platform
import sys
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from raynas.core.inputs import Arguments
from raynas.exporting.provenance import Provenance
from raynas.nn.programs import OPSET

ABOUT_FILES = {
    "model.py": "the network as source code, which needs torch alone; it can be trained further",
    "weights.safetensors": "its weights, under the names of the `state_dict` of `model.py`",
    "architecture.json": "its architecture: the option of each decision",
    "model.pt2": "a program of `torch.export` in eval mode, for any size of the batch",
    "model.onnx": f"ONNX, opset {OPSET}, for any size of the batch; made of `model.pt2`",
    "README.md": "this card",
}
"""The files of an export and their content."""


def card(
    about: Provenance, inputs: Arguments, files: Mapping[str, str], costs: Mapping[str, float], outputs: str
) -> str:
    """Return the text of the card.

    Args:
        about: origin of the network.
        inputs: an example of its inputs.
        files: for each file of an export "" or the reason why it is missing.
        costs: measured for one example.
        outputs: description of its outputs.
    """
    parts = [f"# {about.title}", *_files(files), *_inputs(about, inputs, outputs), *_example(about, inputs, files)]
    parts += [*_metrics(about, costs), *_origin(about)]
    return "\n\n".join(parts) + "\n"


def _files(files: Mapping[str, str]) -> Iterator[str]:
    rows = [f"| `{name}` | {ABOUT_FILES[name] if not why else f'missing: {why}'} |" for name, why in files.items()]
    yield "\n".join(["| file | content |", "|---|---|", *(row.replace("\n", " ") for row in rows)])


def _inputs(about: Provenance, inputs: Arguments, outputs: str) -> Iterator[str]:
    yield "## Inputs and outputs"
    yield "\n".join(
        [f"- input `{name}`: {_described(tensor)}" for name, tensor in _named(inputs)] + [f"- output: {outputs}"]
    )
    if about.preprocessing:
        known = about.preprocessing
        yield (
            f"Images are of {known.data}: pixels as stored there, minus the mean, divided by the standard deviation of "
            f"their channel, channels first. Mean: {_numbers(known.mean)}; deviation: {_numbers(known.std)}. "
            f"The {known.n_classes} classes are numbered as in the data."
        )
    else:
        yield "How raw data becomes these inputs was not recorded: prepare them as in training."


def _example(about: Provenance, inputs: Arguments, files: Mapping[str, str]) -> Iterator[str]:
    yield "## Example"
    source = not files.get("model.py", "missing")
    lines = ["import torch", "", "from model import load" if source else "network = None"]
    if not source:
        lines = ["import torch", ""]
    arguments = [(name, _made(tensor)) for name, tensor in _named(inputs)]
    if source and about.preprocessing:
        channels, height, width = about.preprocessing.shape
        lines[-1] = "from model import load, preprocess"
        lines += ["", f"images = torch.zeros(1, {height}, {width}, {channels})  # pixels as they are stored"]
        arguments = [(arguments[0][0], "preprocess(images)")]
    network = "load()" if source else 'torch.export.load("model.pt2").module()'
    called = ", ".join(made if name.startswith("x") else f"{name}={made}" for name, made in arguments)
    lines += [f"network = {network}", "with torch.no_grad():", f"    print(network({called}))"]
    if source or not files.get("model.pt2", "missing"):
        yield "```python\n" + "\n".join(lines) + "\n```"


def _metrics(about: Provenance, costs: Mapping[str, float]) -> Iterator[str]:
    yield "## Metrics"
    values = {**about.metrics, **costs}
    yield "\n".join(["| metric | value |", "|---|---|", *(f"| {n} | {_number(v)} |" for n, v in values.items())])
    remarks = [about.measured] if about.metrics and about.measured else []
    how = f"(median, one example, one CPU thread, {platform.machine()})"
    if "params" not in costs:
        remarks.append(f"`size_mb` is the size of `model.onnx`, on which `latency_ms` {how} was measured.")
    elif "latency_ms" in costs:
        remarks.append(
            f"Parameters, multiply-adds (`macs`, for one example, biases included) and `latency_ms` {how} were "
            "measured on the exported files."
        )
    else:
        remarks.append("Parameters and multiply-adds (`macs`) are those of the network for one example.")
    if "inference_memory_mb" in costs:
        remarks.append(
            "`activations` are the outputs of convolutions and matrix products, `inference_memory_mb` is the peak of "
            "the memory that tensors other than weights need, both for one example; `size_mb` that of the weights."
        )
    yield " ".join(remarks)


def _origin(about: Provenance) -> Iterator[str]:
    yield "## Origin"
    lines = [f"- raynas {_version()}, torch {torch.__version__}, Python {platform.python_version()}"]
    lines += [f"- seed {about.seed}"] if about.seed is not None else []
    lines += [f"- made again by `{about.command}`"] if about.command else []
    yield "\n".join(lines)


def _named(inputs: Arguments) -> list[tuple[str, Tensor | object]]:
    return [*((f"x{i}", value) for i, value in enumerate(inputs.args)), *inputs.kwargs.items()]


def _described(value: object) -> str:
    if not isinstance(value, Tensor):
        return f"`{type(value).__name__}`"
    sizes = ", ".join(map(str, value.shape[1:]))
    return f"{str(value.dtype).removeprefix('torch.')} of shape (batch{f', {sizes}' if sizes else ''})"


def _made(value: object) -> str:
    """Return source code that makes an example."""
    if isinstance(value, Tensor):
        shape = ", ".join(map(str, (1, *value.shape[1:]))) if value.ndim else "()"
        return f"torch.zeros({shape}, dtype={value.dtype})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name!r}: {_made(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_made, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(_made, value))},)"
    return repr(value)


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"


def _version() -> str:
    """Return the version of raynas; an import of the package would be one of all its layers."""
    return str(sys.modules["raynas"].__version__)
