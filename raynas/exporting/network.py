"""The export of a network: its files, their verification, its card."""

import copy
import sys
import types
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor, nn

from raynas.core.architecture import Architecture
from raynas.core.inputs import Arguments, Inputs
from raynas.core.networks import EXPORT_FORMATS, ExportFormat
from raynas.errors import RaynasError, UnknownNameError, one_line
from raynas.exporting import standalone
from raynas.exporting.card import ABOUT_FILES, card
from raynas.exporting.code import SourceError
from raynas.exporting.provenance import Provenance
from raynas.exporting.source import Source, write_source
from raynas.exporting.verification import Expected, Report, verify, with_batch
from raynas.files.inside import refuse_links
from raynas.files.replacing import write_whole
from raynas.files.weights import WEIGHTS, write_weights
from raynas.metrics.cost import count_activations, count_macs, count_params, inference_memory, size_on_disk
from raynas.nn.modes import evaluating
from raynas.nn.programs import make_program, write_onnx, write_program
from raynas.precision import RuntimeNetwork

SOURCE, PROGRAM, ONNX, ARCHITECTURE, CARD = "model.py", "model.pt2", "model.onnx", "architecture.json", "README.md"

N_EXAMPLES = 2
"""Size of the batch with which networks are exported; torch.export takes 1 for a size that never changes."""


@dataclass(frozen=True)
class Exported:
    """The files of an export.

    Args:
        directory: their folder.
        files: their names.
        missing: for each file that could not be written the reason.
        report: what was measured in a process without raynas, by file; empty if nothing was verified.
    """

    directory: Path
    files: tuple[str, ...]
    missing: Mapping[str, str] = field(default_factory=dict)
    report: Report = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{self.directory}: {', '.join(self.files)}"]
        return "\n".join([*lines, *(f"no {name}: {reason}" for name, reason in self.missing.items())])


def export(
    model: nn.Module,
    example_inputs: Inputs,
    directory: str | Path,
    *,
    about: Provenance | None = None,
    formats: Collection[ExportFormat] = EXPORT_FORMATS,
    overwrite: bool = False,
    verify: bool = True,
) -> Exported:
    """Write a network to files that run without raynas, and verify them in a fresh process.

    The folder holds ``model.py`` (source code that needs torch alone), ``weights.safetensors``, ``architecture.json``,
    ``model.pt2`` (``torch.export``), ``model.onnx`` and a card, ``README.md``. A file that cannot be written is left
    out, with the reason in ``Exported.missing``. The model is left as it was.

    Args:
        model: any network; of one that a ``Quantizer`` made for ONNX Runtime, the file is ``model.onnx`` as it is.
        example_inputs: a batch of inputs; the first dimension of its tensors is the batch.
        directory: the folder; made if missing.
        about: what the card says about the origin of the network.
        formats: those to write of "source", "program" (``torch.export``) and "onnx".
        overwrite: True to write to a folder that holds other files; by default only an earlier export is replaced.
        verify: False to trust the files.

    Raises:
        RaynasError: if the folder is not free or cannot be written, or the model cannot run on the inputs.
        VerificationError: if a file does not load or disagrees with the model; names both.
    """
    if unknown := set(formats) - set(EXPORT_FORMATS):
        raise UnknownNameError("format", sorted(unknown)[0], EXPORT_FORMATS)
    about = about or Provenance()
    inputs = with_batch(_checked(Arguments.of(example_inputs)), N_EXAMPLES).to("cpu")
    if any(tensor.device.type != "cpu" for tensor in chain(model.parameters(), model.buffers())):
        model = copy.deepcopy(model).cpu()
    about = about if about.title else _titled(about, model)
    try:
        folder = _claimed(Path(directory).expanduser(), overwrite)
        with evaluating(model):
            kind = _ExportOfFile if isinstance(model, RuntimeNetwork) else _Export
            return kind(model, inputs, folder, about, frozenset(formats)).write(verifies=verify)
    except OSError as error:
        raise RaynasError(f"cannot write to {directory}: {error.strerror or error}") from None


def _checked(inputs: Arguments) -> Arguments:
    if not inputs.n_examples:
        raise RaynasError("example_inputs must hold a tensor whose first dimension is the batch, of an example or more")
    return inputs


def _titled(about: Provenance, model: nn.Module) -> Provenance:
    arch = f" of architecture {Architecture(dict(about.arch)).key}" if about.arch else ""
    title = f"A {type(model).__name__}{arch}"
    if isinstance(model, RuntimeNetwork):
        low = [path for path, precision in model.precisions.items() if precision != "float32"]
        title = f"A network for ONNX Runtime{arch}, in 8 bits: {', '.join(low) or 'no layer'}"
    return Provenance(**{**vars(about), "title": title})


def _claimed(folder: Path, overwrite: bool) -> Path:
    """Return the folder, made if missing, without the files of an earlier export.

    Raises:
        RaynasError: if it holds something else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    refuse_links(folder)
    names = {path.name for path in folder.iterdir()} - {"__pycache__"}
    is_export = CARD in names <= ABOUT_FILES.keys() and not names.isdisjoint({WEIGHTS, ONNX})
    if names and not is_export and not overwrite:
        raise RaynasError(f"{folder} is not empty and holds no export: choose another folder, or pass overwrite=True")
    for name in ABOUT_FILES:
        (folder / name).unlink(missing_ok=True)
    return folder


@dataclass
class _Export:
    model: nn.Module
    inputs: Arguments
    folder: Path
    about: Provenance
    formats: frozenset[str]
    missing: dict[str, str] = field(default_factory=dict)

    def write(self, *, verifies: bool) -> Exported:
        """Write all files; the card is the last, so an export without one was interrupted."""
        outputs = self._outputs()
        self._write_source()
        if self.about.arch is not None:
            write_whole(self.folder / ARCHITECTURE, Architecture(dict(self.about.arch)).to_json() + "\n")
        self._write_programs()
        costs = self._costs()
        report: Report = {}
        if verifies:
            params = int(costs.get("params", 0))
            expected = Expected(self.folder, self._written(), self.model, self.inputs, params, self._macs(costs))
            (report,) = verify([expected])
            measured = report.get(SOURCE) or report.get(PROGRAM) or report.get(ONNX) or {}
            costs |= {name: float(value) for name, value in measured.items()}
        names = [name for name in ABOUT_FILES if name in (*self._written(), CARD) or name in self.missing]
        files = {name: self.missing.get(name, "") for name in names}
        write_whole(self.folder / CARD, card(self.about, self.inputs, files, costs, outputs))
        return Exported(self.folder, self._written(), self.missing, report)

    def _outputs(self) -> str:
        try:
            found = list(standalone.leaves(self.inputs.call(self.model)))
        except Exception as error:
            raise RaynasError(f"the network does not run on the example inputs: {one_line(error)}") from error
        return "; ".join(f"{str(t.dtype).removeprefix('torch.')} of shape ({_sizes(t)})" for t in found)

    def _write_source(self) -> None:
        state: Mapping[str, object] = self.model.state_dict()
        try:
            if "source" not in self.formats:
                raise SourceError("it was not asked for")
            known = self.about.preprocessing
            source = write_source(self.model, self.about.title, known.source if known else "", self.inputs)
            state = {**state, **source.extra_state}
            _probe(source, state, self.model, self.inputs)
            write_whole(self.folder / SOURCE, source.text)
        except SourceError as error:
            self.missing[SOURCE] = one_line(error)
            state = self.model.state_dict()
        write_weights(state, self.folder / WEIGHTS)

    def _write_programs(self) -> None:
        wanted = {PROGRAM: "program", ONNX: "onnx"}
        self.missing |= {name: "it was not asked for" for name, kind in wanted.items() if kind not in self.formats}
        if self.missing.keys() >= wanted.keys():
            return
        try:
            program = make_program(self.model, self.inputs)
        except RaynasError as error:
            self.missing = {PROGRAM: one_line(error), ONNX: f"it is made of {PROGRAM}"} | self.missing
            return
        if PROGRAM not in self.missing:
            write_program(program, self.folder / PROGRAM)
        try:
            if ONNX not in self.missing:
                write_onnx(program, self.folder / ONNX)
        except RaynasError as error:
            self.missing[ONNX] = one_line(error)

    def _costs(self) -> dict[str, float]:
        costs: dict[str, float] = {"params": count_params(self.model), "size_mb": size_on_disk(self.model) / 1e6}
        example = with_batch(self.inputs, 1)
        with suppress(RaynasError):
            costs["macs"] = count_macs(self.model, example)
            costs["activations"] = count_activations(self.model, example)
            costs["inference_memory_mb"] = inference_memory(self.model, example) / 1e6
        return costs

    def _macs(self, costs: Mapping[str, float]) -> int | None:
        return int(costs["macs"]) if "macs" in costs else None

    def _written(self) -> tuple[str, ...]:
        return tuple(name for name in ABOUT_FILES if (self.folder / name).exists() or name == CARD)


class _ExportOfFile(_Export):
    """The export of a network that is a file for ONNX Runtime."""

    model: RuntimeNetwork

    def _write_source(self) -> None:
        self.missing |= dict.fromkeys((SOURCE, WEIGHTS, PROGRAM), f"the network is {ONNX}, with its weights")

    def _write_programs(self) -> None:
        self.model.save(self.folder / ONNX)

    def _costs(self) -> dict[str, float]:
        return {"size_mb": self.model.size_mb}


def _sizes(tensor: Tensor) -> str:
    sizes = ["batch" if i == 0 and size == N_EXAMPLES else str(size) for i, size in enumerate(tensor.shape)]
    return ", ".join(sizes)


def _probe(source: Source, state: Mapping[str, object], model: nn.Module, inputs: Arguments) -> None:
    """Run the written network beside the given one.

    Raises:
        SourceError: if it fails, or its outputs differ.
    """
    module = types.ModuleType("raynas_exported_model")
    module.__dict__["__file__"] = SOURCE
    sys.modules[module.__name__] = module  # where dataclasses look for their annotations
    try:
        exec(compile(source.text, SOURCE, "exec"), module.__dict__)
        with torch.random.fork_rng(devices=[]):
            network = module.build()
        network.load_state_dict(state)
        found = standalone.leaves(inputs.call(network.eval()))
        standalone.compare(list(found), list(standalone.leaves(inputs.call(model))), standalone.TOLERANCE)
    except Exception as error:
        raise SourceError(f"as source code it is another network: {one_line(error)}") from None
    finally:
        del sys.modules[module.__name__]
