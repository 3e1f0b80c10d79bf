"""Protocols of the networks of a search: ``SearchResult`` asks for them, and ``raynas.run`` has them."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, TypedDict, get_args

from torch import nn
from typing_extensions import Unpack

from raynas.core.evaluation import Evaluation

ExportFormat = Literal["source", "program", "onnx"]
EXPORT_FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)
"""Forms in which a network is exported, besides its weights."""


class ExportOptions(TypedDict, total=False):
    """Options of an export.

    Args:
        formats: those to write of "source", "program" (``torch.export``) and "onnx"; by default all.
        overwrite: True to write to a folder that holds other files; by default only an earlier export is replaced.
        verify: False to skip the check of the files in a fresh process.
    """

    formats: Collection[ExportFormat]
    overwrite: bool
    verify: bool


class ExportedFiles(Protocol):
    """The files of an exported network; see ``raynas.exporting.Exported``."""

    @property
    def directory(self) -> Path: ...

    @property
    def files(self) -> tuple[str, ...]: ...

    @property
    def missing(self) -> Mapping[str, str]: ...


class Networks(Protocol):
    """The networks of trials with weights, as ``SearchResult`` asks for them."""

    def state(self, evaluation: Evaluation) -> Mapping[str, Any] | None: ...

    def model(self, evaluation: Evaluation) -> nn.Module: ...

    def retrain(self, evaluation: Evaluation, epochs: int | None, directory: Path | None) -> Mapping[str, float]: ...

    def export(self, evaluation: Evaluation, directory: Path, **options: Unpack[ExportOptions]) -> ExportedFiles: ...
