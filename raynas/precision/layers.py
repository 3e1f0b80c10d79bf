"""Layers of a network whose precision can be chosen, and those that must share one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

RUNTIMES: Mapping[str, Mapping[type[nn.Module], Sequence[str]]] = {
    "onnxruntime": {
        nn.Linear: ("float32", "int8", "int8_dynamic"),
        nn.MultiheadAttention: ("float32", "int8", "int8_dynamic"),
        nn.Conv1d: ("float32", "int8"),
        nn.Conv2d: ("float32", "int8"),
        nn.Conv3d: ("float32", "int8"),
        nn.Embedding: ("float32", "int8"),
    },
    "eager": {
        kind: ("float32", "bfloat16")
        for kind in (
            nn.Linear,
            nn.MultiheadAttention,
            nn.Conv1d,
            nn.Conv2d,
            nn.Conv3d,
            nn.ConvTranspose1d,
            nn.ConvTranspose2d,
            nn.ConvTranspose3d,
            nn.Embedding,
        )
    },
}
"""The precisions that a runtime computes a kind of layer in; others would only be stored in it.

ONNX Runtime's kernels for 8 bits on the CPU are those of products, convolutions and look-ups; it has none for
transposed convolutions, and none for bfloat16. PyTorch has kernels for bfloat16, which use the CPU's instructions for
it where there are such.
"""

PRECISIONS = ("float32", "bfloat16", "int8", "int8_dynamic")
"""All precisions. int8 has ranges of activations from calibration, int8_dynamic finds them in every call."""


@dataclass(frozen=True)
class Layer:
    """Layers that share a decision.

    Args:
        name: path of the first one.
        paths: paths of all of them.
        precisions: those that the runtime computes all of them in.
    """

    name: str
    paths: tuple[str, ...]
    precisions: tuple[str, ...]


def layers_of(model: nn.Module, runtime: str) -> list[Layer]:
    """Return the layers of a network that a runtime can compute in several precisions, in order.

    Layers that share a weight are one, and so is an attention with its projections.

    Args:
        model: the network; on any device.
        runtime: one of ``RUNTIMES``.
    """
    known = RUNTIMES[runtime]
    found: dict[int, list[tuple[str, nn.Module]]] = {}
    inside = ""
    for path, module in model.named_modules(remove_duplicate=False):
        if inside and path.startswith(f"{inside}."):
            continue
        if _kind(module, known) is not None:
            inside = path if isinstance(module, nn.MultiheadAttention) else ""
            weight = next(iter(module.parameters()))
            found.setdefault(id(weight), []).append((path, module))
    return [_layer(named, known) for named in found.values()]


def _kind(module: nn.Module, known: Mapping[type[nn.Module], Sequence[str]]) -> type[nn.Module] | None:
    return next((kind for kind in known if isinstance(module, kind)), None)


def _layer(named: Sequence[tuple[str, nn.Module]], known: Mapping[type[nn.Module], Sequence[str]]) -> Layer:
    offered = [known[kind] for _, module in named if (kind := _kind(module, known))]
    shared = [precision for precision in PRECISIONS if all(precision in each for each in offered)]
    return Layer(named[0][0], tuple(path for path, _ in named), tuple(shared))
