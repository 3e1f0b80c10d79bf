"""block_library(): makes a library of blocks, or continues it."""

import copy
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from raynas.compressing.assembling.alternatives import DEFAULT_ALTERNATIVES, Alternative, read_alternatives
from raynas.compressing.assembling.blocks import Call, blocks_of
from raynas.compressing.assembling.costs import BlockAlone, additive_metrics, is_of_shapes, measured_cost
from raynas.compressing.assembling.folder import LibraryFolder
from raynas.compressing.assembling.library import BlockLibrary
from raynas.compressing.assembling.scoring import Finished
from raynas.compressing.assembling.space import given_alone
from raynas.converting.fingerprint import weights_fingerprint_of
from raynas.core.architecture import Config
from raynas.core.inputs import Arguments, Inputs, InputSpec, describe, spec_of
from raynas.core.metric import Metric
from raynas.errors import RaynasError
from raynas.metrics import Metrics, read_goal
from raynas.run.actor_pool import ActorPool
from raynas.run.identity import Identity
from raynas.run.user_source import parts_of
from raynas.trials.distillation import Distillation

logger = logging.getLogger(__name__)

OnProgress = Callable[[str], None]
"""Receives a line about each block that is finished."""


def block_library(
    model: nn.Module,
    example_inputs: Inputs,
    training: Distillation,
    path: str | Path,
    *,
    alternatives: Sequence[str | Alternative] = DEFAULT_ALTERNATIVES,
    blocks: Sequence[str] | None = None,
    metrics: Metrics = ("params", "macs"),
    inputs: InputSpec | None = None,
    workers: int | None = None,
    on_progress: OnProgress | None = None,
) -> "BlockLibrary":
    """Make a library of alternatives to the blocks of a model, from which small models are assembled.

    Each alternative is trained to give what its block gives in the model, on the inputs that the block gets there, by
    itself and without labels; then the whole model is scored with it. Blocks are worked on in parallel, by actors on
    Ray's cluster. A second call with the same path continues the first; what is finished is not repeated, also after a
    kill, and other alternatives and costs are added to it.

    Args:
        model: any module with its weights; it is not changed, and must not be changed later.
        example_inputs: a batch of what it takes: a tensor, a tuple of positional or a mapping of keyword arguments.
        training: the data and the training of the alternatives; its scores are those of whole models.
        path: the folder of the library.
        alternatives: ``"width:0.5"`` (hidden widths), ``"heads:0.5"`` (attention heads), ``"grouped_query:2"`` (2 heads
            of keys and values), ``"kernel:3"``, ``"linear"`` (a linear map of the features), ``"skip"`` (nothing),
            several joined by "+", or your own, ``Custom("name", function)``. Where a block has no such alternative, the
            library says why.
        blocks: globs of the modules that are blocks, as in ``["encoder.*.attention", "encoder.*.mlp"]``; None for
            repeated members of ``nn.Sequential`` and ``nn.ModuleList``.
        metrics: costs that add up over blocks, or their names; latency is measured of each block and alternative alone.
        inputs: description of the inputs; None for that of the example.
        workers: number of actors; None for as many as the cluster has room for, 0 for this process alone.
        on_progress: receives a line about each block that is finished; None for the log.

    Raises:
        ArchiveError: if the folder cannot be written, or holds another library.
        RaynasError: if the model, the data and the settings do not fit together, or a block fails.
        SpaceError: if the model has no such blocks.
    """
    known = read_alternatives(alternatives)
    costs = additive_metrics(metrics)
    calls = blocks_of(model, Arguments.of(example_inputs), blocks)
    training = training if training.teacher is not None else replace(training, teacher=model)
    spec = example_inputs if inputs is None else inputs
    about = _about(model, calls, Arguments.of(example_inputs), spec, training)
    folder = LibraryFolder(Path(path).expanduser().resolve(), about)
    library = BlockLibrary(model, calls, known, training, spec, costs, folder)
    _fill(library, workers, on_progress or logger.info)
    _measure(library)
    return library


def _about(
    model: nn.Module, blocks: Mapping[str, Call], example: Arguments, inputs: InputSpec, training: Distillation
) -> dict[str, object]:
    """Return what all records of a library depend on; that which only some do is in these."""
    identity = Identity.of(given_alone(model, blocks, inputs), read_goal("min:divergence"), training)
    return {
        "model": f"{type(model).__name__} {weights_fingerprint_of(model)}",
        "code": dict(identity.code),
        "example_inputs": describe(spec_of(example)),
        "training": training.description,
        "data": dict(identity.data),
        "blocks": list(blocks),
    }


def _fill(library: BlockLibrary, workers: int | None, tell: OnProgress) -> None:
    """Make what is missing.

    Raises:
        RaynasError: if a block fails; those that are finished are kept.
    """
    jobs = list(_missing(library))
    if jobs:
        failed: list[str] = []
        n_done = 0
        with ActorPool(library.scorer, library.training.resources, workers) as pool:
            for result in pool.results(jobs, in_order=False):
                n_done += 1
                if result["failed"]:
                    failed.append(f"{result.get('block') or 'the given model'}: {result['error']}")
                    continue
                _keep(library, result["block"], result["finished"])
                tell(f"{n_done}/{len(jobs)} {result['block'] or 'the given model'}: {_told(result['finished'])}")
        if failed:
            raise RaynasError(f"{failed[0]} ({len(failed)} of {len(jobs)} failed; the same call tries them again)")


def _missing(library: BlockLibrary) -> Iterator[Config]:
    if library.folder.given() is None:
        yield {"block": "", "alternatives": []}
    for i, path in enumerate(library.calls):
        names = [name for name in library.alternatives if library.folder.record(i, name) is None]
        if names:
            yield {"block": path, "alternatives": names}


def _keep(library: BlockLibrary, path: str, finished: Mapping[str, Finished]) -> None:
    if not path:
        library.folder.write_given(finished[""].record)
    for name, each in finished.items() if path else ():
        each.record.code = dict(parts_of(*library.alternatives[name].code))
        library.folder.write(library.blocks.index(path), name, each.record, each.weights)


def _measure(library: BlockLibrary) -> None:
    """Measure the costs that records lack, one after the other: those of a device, and those asked for later."""
    for metric in library.metrics:
        if metric.name not in library.given.costs:
            library.given.costs[metric.name] = float(library.measurer.value(metric, library.space.default))
            library.folder.write_given(library.given)
        for i, path in enumerate(library.blocks):
            lacking = [name for name in library.options[path] if metric.name not in library.records[path][name].costs]
            added = _costs_added(library, metric, path, lacking) if lacking else {}
            for name, cost in added.items():
                record = library.records[path][name]
                record.costs[metric.name] = cost
                library.folder.write(i, name, record)


def _costs_added(library: BlockLibrary, metric: Metric, path: str, names: Sequence[str]) -> dict[str, float]:
    """Return what alternatives add to a cost of the given model."""
    if is_of_shapes(metric):
        given = library.measurer.value(metric, library.space.default)
        return {name: library.measurer.value(metric, library.space.of({path: name})) - given for name in names}

    def alone(module: nn.Module) -> float:
        block = BlockAlone(module, library.model, path, library.inputs)
        return float(measured_cost(block, metric, library.training.torch_device, library.training.latency_threads))

    given = alone(copy.deepcopy(library.model.get_submodule(path)))
    return {name: alone(library.load(path, name)) - given for name in names}


def _told(finished: Mapping[str, Finished]) -> str:
    parts = []
    for name, each in finished.items():
        score = ", ".join(f"{k} {v:.4g}" for k, v in list(each.record.scores.items())[:1])
        parts.append(f"{name} refused" if each.record.refused else f"{name} {score}".strip())
    return "; ".join(parts)
