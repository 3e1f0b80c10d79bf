"""FloatFile: a network as an ONNX file, with the layer of each of its nodes, and the ranges of its activations."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from raynas.core.inputs import Arguments
from raynas.errors import RaynasError
from raynas.nn.modes import evaluating
from raynas.nn.programs import PACKAGES, WRAPPED, make_program, quiet, require_packages, write_onnx

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

PRODUCTS = ("Conv", "Gemm", "MatMul", "Gather")
"""Nodes that compute with the weights of layers."""

CARRIERS = ("Relu", "Clip", "MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Identity")
"""Nodes that compute in 8 bits with the range of their input."""

SUMS = ("Add", "Concat")
"""Nodes that ONNX Runtime computes in 8 bits if all that they take is."""

FOLDED = ("Transpose", "Split", "Reshape", "Squeeze", "Unsqueeze", "Identity")
"""Operations on weights alone, which are done in the file: quantizers look for weights that are constants."""

SCOPES = "pkg.torch.onnx.name_scopes"
"""Entry of a node in which torch writes the paths of the modules that it is in."""

CALIBRATIONS = {"minmax": "MinMax", "percentile": "Percentile", "entropy": "Entropy"}
"""Ways to find ranges of activations, and their names in ONNX Runtime."""

N_EXAMPLES = 2
"""Size of the batch that a network is exported with; torch.export takes 1 for a size that never changes."""


@dataclass(frozen=True, eq=False)
class FloatFile:
    """A network as an ONNX file in float32, for any size of the batch.

    Args:
        model: the file.
        paths: paths of the layers that have parameters.
    """

    model: "ModelProto"
    paths: frozenset[str]

    @classmethod
    def of(cls, network: nn.Module, example: Arguments) -> "FloatFile":
        """Export a network in eval mode, which is left as it was.

        Args:
            network: on the CPU.
            example: a batch of inputs.

        Raises:
            RaynasError: if a package is missing, or the network cannot be exported.
        """
        require_packages(PACKAGES, "export")
        import onnx

        n = example.n_examples
        example = Arguments(example.args, dict(sorted(example.kwargs.items())))  # the order of ``Arguments.tensors``
        batch = example.map(lambda t: t[torch.arange(N_EXAMPLES) % n] if t.ndim and len(t) == n else t)
        with tempfile.TemporaryDirectory() as folder, evaluating(network):
            path = Path(folder) / "model.onnx"
            write_onnx(make_program(network, batch), path)
            model = onnx.load(path)
        _fold(model)
        with quiet():
            model = onnx.shape_inference.infer_shapes(model)
        owners = {name.rpartition(".")[0] for name, _ in network.named_parameters(remove_duplicate=False)}
        return cls(model, frozenset(owners))

    @property
    def nodes(self) -> "Sequence[NodeProto]":
        """The nodes, each after those that it reads."""
        nodes: Sequence[NodeProto] = self.model.graph.node
        return nodes

    @cached_property
    def constants(self) -> Mapping[str, Any]:
        """The constants, by name."""
        return {tensor.name: tensor for tensor in self.model.graph.initializer}

    @cached_property
    def layers(self) -> Mapping[str, str]:
        """The layer of each node that computes with the weight of one: its path, by the name of the node."""
        found = {}
        for node in self.nodes:
            weight = weight_of(node)
            if node.op_type in PRODUCTS and weight in self.constants and self.constants[weight].data_type == 1:
                found[node.name] = self._owner(node, weight)
        return {name: owner for name, owner in found.items() if owner}

    def _owner(self, node: "NodeProto", weight: str) -> str:
        scopes = next((entry.value for entry in node.metadata_props if entry.key == SCOPES), "[]")
        inside = [part.strip().strip("'\"") for part in scopes.strip("[]").split(",")]
        named = [weight.rpartition(".")[0], *reversed(inside)]
        known = [path for name in named for path in (name, name.removeprefix(f"{WRAPPED}.")) if path in self.paths]
        return known[0] if known else ""

    @cached_property
    def producers(self) -> "Mapping[str, NodeProto]":
        """The node that puts out a value, by the value's name."""
        return {name: node for node in self.nodes for name in node.output}

    def read(self, node: "NodeProto") -> list[str]:
        """Return the values that a node computes with, without constants and what is not there."""
        shapes = 1 if node.op_type in CARRIERS else None  # further inputs of these are sizes
        return [name for name in list(node.input)[:shapes] if name and name not in self.constants]

    def sums(self) -> Iterator[set[str]]:
        """Yield sets of layers whose outputs are added or joined, directly or after what is done in 8 bits too."""
        for node in self.nodes:
            if node.op_type in SUMS and len(self.read(node)) > 1:
                yield {path for name in self.read(node) for path in self._sources(name)}

    def _sources(self, name: str) -> set[str]:
        node = self.producers.get(name)
        if node is None:
            return set()
        if node.name in self.layers:
            # A product puts out float32 numbers, see ``quantized``, so it may be added to anything.
            return {self.layers[node.name]} if node.op_type == "Conv" else set()
        if node.op_type not in (*CARRIERS, *SUMS):
            return set()
        return {path for read in self.read(node) for path in self._sources(read)}

    def feed(self, batch: Arguments) -> dict[str, Any]:
        """Return a batch as the inputs of a session."""
        names = [given.name for given in self.model.graph.input]
        return {name: tensor.numpy() for name, tensor in zip(names, batch.tensors, strict=True)}

    def ranges(self, batches: Iterable[Arguments], method: str) -> Any:
        """Return the ranges of the activations on batches, as ONNX Runtime's quantizers take them.

        Args:
            batches: inputs of the network.
            method: one of ``CALIBRATIONS``.

        Raises:
            RaynasError: if there is no batch, or the network does not run on one.
        """
        import onnx
        from onnxruntime.quantization import CalibrationMethod, create_calibrator

        feeds = iter([self.feed(batch) for batch in batches])
        with tempfile.TemporaryDirectory() as folder, quiet():
            path = Path(folder) / "model.onnx"
            onnx.save(self.model, path)
            calibrator = create_calibrator(
                path,
                [*PRODUCTS, *CARRIERS, *SUMS],
                str(Path(folder) / "augmented.onnx"),
                getattr(CalibrationMethod, CALIBRATIONS[method]),
                extra_options={"symmetric": False},
            )
            try:
                calibrator.collect_data(_Reader(feeds))
                return calibrator.compute_data()
            except Exception as error:
                raise RaynasError(f"calibration failed, it needs batches of the network's inputs: {error}") from error


class _Reader:
    """Gives batches one after another, as ONNX Runtime asks for them."""

    def __init__(self, feeds: Iterator[dict[str, Any]]) -> None:
        self._feeds = feeds

    def get_next(self) -> dict[str, Any] | None:
        """Return the next batch; None after the last."""
        return next(self._feeds, None)


def weight_of(node: "NodeProto") -> str:
    """Return the name of the input of a product where its weight is."""
    return str(node.input[0 if node.op_type == "Gather" else 1]) if len(node.input) > 1 else ""


def _fold(model: "ModelProto") -> None:
    """Do the operations on weights alone that only change their form."""
    from onnx import numpy_helper
    from onnx.reference import ReferenceEvaluator

    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in list(graph.node):
        if node.op_type not in FOLDED or not all(name in constants for name in node.input if name):
            continue
        values = {name: numpy_helper.to_array(constants[name]) for name in node.input if name}
        results = ReferenceEvaluator(node).run(None, values)
        for name, value in zip(node.output, results, strict=True):
            constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
            graph.initializer.append(constants[name])
        graph.node.remove(node)
    used = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)
