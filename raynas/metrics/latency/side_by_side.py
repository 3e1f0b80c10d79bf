"""Several networks exported as one ONNX file, which is then split, so that the fixed costs of an export are paid once.

Each of the resulting files has the operations of one network alone, as if that network had been exported by itself.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from raynas.core.inputs import Arguments
from raynas.errors import RaynasError
from raynas.metrics.latency.deployment import Deployment, Form, deploy

if TYPE_CHECKING:
    from onnx import ModelProto

AT_ONCE = 48
"""Number of networks in a file: by 16 the fixed costs are shared already."""

MAX_BYTES = 2**28
"""Size of the weights after which a file takes no further network; an ONNX file holds 2 GiB at most."""

Part = tuple[nn.Module, Arguments]
"""A network and an example batch."""


def deploy_all(
    parts: Iterable[Part], form: Form, *, device: torch.device, dtype: torch.dtype = torch.float32
) -> Iterator[Deployment]:
    """Yield networks, in eval mode, in a form, as ``deploy`` does; ONNX files are made many at once.

    Args:
        parts: the networks; as many are drawn ahead as a file holds.
        form: the form.
        device: device of a module; files are made for any.
        dtype: type of weights and real inputs.

    Raises:
        RaynasError: if a package is missing, or a network cannot be exported.
    """
    for group in _groups(parts) if form == "onnx" else ([part] for part in parts):
        together = _together(group, dtype) if len(group) > 1 else [None] * len(group)
        for (model, inputs), found in zip(group, together, strict=True):
            yield found or deploy(model, inputs, form, device=device, dtype=dtype)


def _groups(parts: Iterable[Part]) -> Iterator[list[Part]]:
    group: list[Part] = []
    n_bytes = 0
    for part in parts:
        group.append(part)
        n_bytes += sum(p.numel() * p.element_size() for p in part[0].parameters())
        if len(group) == AT_ONCE or n_bytes > MAX_BYTES:
            yield group
            group, n_bytes = [], 0
    if group:
        yield group


def _together(group: Sequence[Part], dtype: torch.dtype) -> list[Deployment | None]:
    """Return the deployments of a group, None for each that must be exported alone."""
    alone: list[Deployment | None] = [None] * len(group)
    if not all(_takes_tensors(inputs) for _, inputs in group):
        return alone
    everything = Arguments(tuple(tensor for _, inputs in group for tensor in inputs.args))
    sizes = [len(inputs.args) for _, inputs in group]
    try:
        joint = deploy(
            _SideBySide([model for model, _ in group], sizes),
            everything,
            "onnx",
            device=torch.device("cpu"),
            dtype=dtype,
        )
    except RaynasError:  # one of them cannot be exported, and is named when it is alone
        return alone
    given = iter(joint.inputs.args)
    inputs = [Arguments(tuple(next(given) for _ in range(size))) for size in sizes]
    files = cut(joint.file, sizes)
    return [None if file is None else Deployment("onnx", file, args) for file, args in zip(files, inputs, strict=True)]


def _takes_tensors(inputs: Arguments) -> bool:
    return not inputs.kwargs and all(isinstance(value, Tensor) for value in inputs.args)


class _SideBySide(nn.Module):
    """Networks that have nothing to do with each other; the next ``sizes`` inputs are those of the next network."""

    def __init__(self, models: Sequence[nn.Module], sizes: Sequence[int]) -> None:
        super().__init__()
        self.models, self.sizes = nn.ModuleList(models), sizes

    def forward(self, *inputs: Tensor) -> list[Any]:
        given = iter(inputs)
        return [model(*(next(given) for _ in range(size))) for model, size in zip(self.models, self.sizes, strict=True)]


def cut(content: bytes, sizes: Sequence[int]) -> list[bytes | None]:
    """Return the files of the networks of a file.

    Args:
        content: of the ONNX file.
        sizes: number of the inputs of each network; one network's inputs follow on those of the one before.

    Returns:
        The content of a file for each; None if its operations cannot be told from those of others.
    """
    import onnx
    from onnx.utils import Extractor

    model = onnx.load_model_from_string(content)
    names = iter(given.name for given in model.graph.input)
    groups = [[next(names) for _ in range(size)] for size in sizes]
    if any(attribute.HasField("g") for node in model.graph.node for attribute in node.attribute):
        return [None] * len(sizes)  # branches and loops read values that no list of inputs names
    outputs = _outputs_by_owner(model, groups)
    extractor = Extractor(model)
    return [
        extractor.extract_model(group, found).SerializeToString() if found else None
        for group, found in zip(groups, outputs, strict=True)
    ]


def _outputs_by_owner(model: "ModelProto", groups: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the outputs that follow from the inputs of each network; those of none or of several are left out."""
    owners = {name: frozenset([i]) for i, group in enumerate(groups) for name in group}
    for node in model.graph.node:  # sorted, so that what a node reads comes before it
        read = frozenset[int]().union(*(owners.get(name, frozenset()) for name in node.input))
        owners.update(dict.fromkeys(node.output, read))
    found: list[list[str]] = [[] for _ in groups]
    computed = {name for node in model.graph.node for name in node.output}
    for output in model.graph.output:
        owner = owners.get(output.name, frozenset())
        if len(owner) == 1 and output.name in computed:
            found[min(owner)].append(output.name)
    return found
