"""RuntimeNetwork: a network in the file that is deployed, computed by ONNX Runtime, to be called like a module."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from raynas.core.inputs import Arguments, mapped
from raynas.files.replacing import Replacing
from raynas.metrics.latency.deployment import Deployment
from raynas.nn.programs import plain


@dataclass(frozen=True)
class _Output:
    """The place of an output among those of the file."""

    index: int


def structure_of(outputs: object) -> Any:
    """Return the structure of a network's outputs, with their places in the file instead of tensors."""
    places = count()
    return mapped(plain(outputs), lambda leaf: _Output(next(places)) if isinstance(leaf, Tensor) else leaf)


class RuntimeNetwork(nn.Module):
    """A network as ONNX Runtime computes it on the CPU, called with tensors as the network is.

    It has no parameters and cannot be trained.

    Args:
        file: content of the ONNX file.
        precisions: of its layers, by path.
        outputs: structure of the outputs, by ``structure_of``.
        n_threads: CPU threads within an operation.
    """

    def __init__(self, file: bytes, precisions: Mapping[str, str], outputs: Any, *, n_threads: int = 1) -> None:
        super().__init__()
        self.file, self.precisions, self.n_threads = file, dict(precisions), n_threads
        self._structure = outputs
        self.eval()

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.n_threads, 1
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(self.file, options, providers=["CPUExecutionProvider"])

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the outputs, in the structure that those of the network have."""
        tensors = Arguments(args, kwargs).tensors
        names = [given.name for given in self._session.get_inputs()]
        feed = {name: tensor.detach().cpu().numpy() for name, tensor in zip(names, tensors, strict=True)}
        found = [torch.from_numpy(array) for array in self._session.run(None, feed)]
        return mapped(self._structure, lambda leaf: found[leaf.index] if isinstance(leaf, _Output) else leaf)

    @property
    def size_mb(self) -> float:
        """Size of the file, in MB."""
        return len(self.file) / 1e6

    def deployment(self, inputs: Arguments) -> Deployment:
        """Return the file as latency is measured with it.

        Args:
            inputs: an example batch.
        """
        return Deployment("onnx", self.file, inputs)

    def save(self, path: Path | str) -> None:
        """Write the ONNX file.

        Raises:
            OSError: if it cannot be written.
        """
        with Replacing(Path(path)) as draft:
            draft.write_bytes(self.file)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_session"}
