"""block_library(): alternatives to the blocks of a given model, each trained and scored, and the assemblies of them."""

import copy
import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from math import nan
from pathlib import Path

import torch
from ray import tune
from torch import nn

from raynas.compressing.assembling.alternatives import DEFAULT_ALTERNATIVES, GIVEN, Alternative, made, read_alternatives
from raynas.compressing.assembling.assembly import Assembly
from raynas.compressing.assembling.blocks import Call, blocks_of
from raynas.compressing.assembling.costs import BlockAlone, additive_metrics, is_of_shapes, measured_cost
from raynas.compressing.assembling.folder import LibraryFolder, Record
from raynas.compressing.assembling.programme import Programme
from raynas.compressing.assembling.scoring import BlockScorer, Finished
from raynas.compressing.assembling.space import AssemblySpace, given_alone
from raynas.converting.fingerprint import weights_fingerprint_of
from raynas.core.architecture import Config
from raynas.core.constraint import Constraint
from raynas.core.inputs import Arguments, Inputs, InputSpec, describe, spec_of
from raynas.core.metric import Metric, Mode
from raynas.core.result import SearchResult
from raynas.data.fit_space import fit_source, fit_space
from raynas.errors import InfeasibleError, RaynasError
from raynas.metrics import METRICS, Measurer, Metrics
from raynas.run.actor_pool import ActorPool
from raynas.run.search import search
from raynas.strategies import RandomSearch
from raynas.trials.distillation import Distillation, check_student
from raynas.validate import whole
from raynas.views.text_table import text_table

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
    folder = LibraryFolder(
        Path(path).expanduser().resolve(),
        {
            "model": f"{type(model).__name__} {weights_fingerprint_of(model)}",
            "example_inputs": describe(spec_of(example_inputs)),
            "training": training.description,
            "blocks": list(calls),
        },
    )
    spec = example_inputs if inputs is None else inputs
    library = BlockLibrary(model, calls, known, training, spec, costs, folder)
    library._fill(workers, on_progress or logger.info)
    return library


@dataclass(frozen=True, eq=False)
class BlockLibrary:
    """Alternatives to the blocks of a model; see ``block_library``.

    Args:
        model: the given model.
        calls: of its blocks on the example, by path.
        alternatives: by name.
        training: the data and the training of the alternatives.
        inputs: description of the inputs.
        metrics: costs.
        folder: records and weights.
    """

    model: nn.Module
    calls: Mapping[str, Call]
    alternatives: Mapping[str, Alternative]
    training: Distillation
    inputs: InputSpec
    metrics: Sequence[Metric]
    folder: LibraryFolder

    def __str__(self) -> str:
        """Return a table of what the model loses and saves by each alternative, and why a block does not have it."""
        scores, costs = list(self.given.scores), list(self.given.costs)
        titles = ["block", "alternative", "error", *scores, *costs]
        rows = [["", GIVEN, "", *map(_short, self.given.scores.values()), *map(_short, self.given.costs.values())]]
        for path, records in self.records.items():
            for name, record in records.items():
                if not record.refused:
                    found = [record.error, *(record.scores.get(n, nan) for n in scores)]
                    added = [f"{record.costs[n]:+.4g}" if n in record.costs else "" for n in costs]
                    rows.append([path, name, *map(_short, found), *added])
        refused = [
            f"{path} has no {n}: {r.refused}" for path, rs in self.records.items() for n, r in rs.items() if r.refused
        ]
        return "\n".join([*text_table(titles, rows, left=2), *refused])

    def __getstate__(self) -> dict[str, object]:
        return {each.name: getattr(self, each.name) for each in fields(self)}  # Data need not travel.

    @property
    def blocks(self) -> Sequence[str]:
        """Paths of the blocks."""
        return list(self.calls)

    @cached_property
    def given(self) -> Record:
        """Scores and costs of the given model."""
        return self._needed(self.folder.given())

    @cached_property
    def records(self) -> Mapping[str, Mapping[str, Record]]:
        """Records of the alternatives, by block and name, also of those that a block does not have."""
        return {
            path: {name: self._needed(self.folder.record(i, name)) for name in self.alternatives}
            for i, path in enumerate(self.calls)
        }

    def _needed(self, record: Record | None) -> Record:
        if record is None:
            raise RaynasError(f"{self.folder.path} is incomplete: call block_library again")
        return record

    @cached_property
    def options(self) -> Mapping[str, Sequence[str]]:
        """Names of the alternatives that each block has."""
        return {path: [name for name, r in records.items() if not r.refused] for path, records in self.records.items()}

    @cached_property
    def space(self) -> AssemblySpace:
        """The assemblies as a search space, to search, train or score them as any other networks."""
        return AssemblySpace(self.model, self.options, self.load, self.inputs, self.training.description)

    def load(self, path: str, name: str) -> nn.Module:
        """Return a trained alternative, a new one at each call.

        Raises:
            RaynasError: if its weights are missing or damaged.
        """
        with torch.random.fork_rng(devices=[]):
            module = made(self.alternatives[name], self.model.get_submodule(path), self.calls[path])
        weights = self.folder.weights(self.blocks.index(path), name)
        try:
            module.load_state_dict(weights)
        except RuntimeError as error:
            raise RaynasError(f"{self.folder.path} holds no weights of {name} for {path} that fit: {error}") from None
        return module

    def assemble(
        self,
        *limits: str | Constraint,
        n: int = 5,
        objective: str = "divergence",
        max_seconds: float = 60.0,
    ) -> list[Assembly]:
        """Return the best assemblies within limits, best first, without running any of them.

        Scores and costs are taken to add up over blocks. The integer programme is solved exactly. Costs that follow
        from shapes are then counted of each assembly; one that turns out to break a limit is left out.

        Args:
            limits: such as ``"macs <= 0.5 * baseline"``, on costs or scores; the baseline is the given model.
            n: largest number of assemblies.
            objective: a score, such as the divergence from the teacher, or a cost, as in
                ``assemble("divergence <= 0.1", objective="macs")``.
            max_seconds: time for each assembly.

        Raises:
            InfeasibleError: if there is none; says which limit cannot be met, and the nearest value that can.
            SettingError: if a limit cannot be read, or is soft.
            UnknownNameError: if a limit or the objective names nothing that the library knows.
        """
        n = whole("n", n, 1)
        known = {**self.given.scores, **self.given.costs}
        absolute = [Constraint.parse(limit).against(known) for limit in limits]
        mode = METRICS[objective].mode if objective in METRICS else "min"
        found: list[Assembly] = []
        for choices in self.programme.solutions(absolute, objective, mode, max_seconds):
            assembly = self._assembly(choices, objective, mode)
            if all(limit.violation(assembly.counted) == 0 for limit in absolute):
                found.append(assembly)
            if len(found) == n:
                break
        if not found:
            raise InfeasibleError(
                f"no assembly within {', '.join(map(str, limits))}: costs of this model do not add up over its blocks"
            )
        return found

    @cached_property
    def programme(self) -> Programme:
        """The integer programme: the scores and costs of all alternatives."""
        given = {**self.given.scores, **self.given.costs}
        known = [
            {**r.scores, **r.costs} for records in self.records.values() for r in records.values() if not r.refused
        ]
        names = [name for name in given if all(name in each for each in known)]
        amounts = {
            name: [[0.0, *(self._added(name, path, each) for each in self.options[path])] for path in self.blocks]
            for name in names
        }
        return Programme(amounts, {name: given[name] for name in names})

    def _added(self, name: str, path: str, alternative: str) -> float:
        record = self.records[path][alternative]
        return record.costs[name] if name in record.costs else record.scores[name] - self.given.scores[name]

    def _assembly(self, choices: Sequence[int], objective: str, mode: Mode) -> Assembly:
        picked = {
            path: self.options[path][choice - 1] for path, choice in zip(self.blocks, choices, strict=True) if choice
        }
        arch = self.space.of(picked)
        predicted = {name: self.programme.total(name, choices) for name in self.programme.given}
        of_shapes = [metric for metric in self.metrics if is_of_shapes(metric)]
        counted = dict(self._measurer.values(of_shapes, arch))
        loss = (predicted[objective] - self.programme.given[objective]) * (1 if mode == "min" else -1)
        return Assembly(arch, predicted, counted, objective, loss, self.space)

    @cached_property
    def _measurer(self) -> Measurer:
        return Measurer(self.space, device=self.training.torch_device, n_threads=self.training.latency_threads)

    def measured(self, assembly: Assembly) -> dict[str, float]:
        """Return all costs of an assembly, measured of the whole network: latency too, which is predicted otherwise."""
        return dict(self._measurer.values(self.metrics, assembly.arch))

    def scored(self, assembly: Assembly) -> dict[str, float]:
        """Return the scores of an assembly on the validation split, where they are predicted otherwise."""
        return self._scorer.scores(assembly.build())

    def recover(
        self,
        assemblies: Sequence[Assembly],
        training: Distillation | None = None,
        *,
        objective: str = "divergence",
        max_concurrent: int | None = None,
        progress: bool = True,
    ) -> SearchResult:
        """Train assemblies as whole models, as trials of a search in the library's folder, and compare the outcomes.

        The same call continues an interrupted one. ``best()`` of the result is the best after training, and
        ``best_model()`` its network.

        Args:
            assemblies: those to train.
            training: of whole models; None for the settings of the alternatives.
            objective: a score that decides.
            max_concurrent: largest number of trials at a time; None for as many as the cluster has room for.
            progress: whether to show a live table.

        Raises:
            RaynasError: if data and settings do not fit together.
        """
        training = training or self.training
        training = training if training.teacher is not None else replace(training, teacher=self.model)
        archs = [assembly.arch for assembly in assemblies]
        name = hashlib.sha256(repr(([arch.key for arch in archs], training.description)).encode()).hexdigest()[:8]
        return search(
            self.space,
            training,
            RandomSearch(),
            objectives=objective,
            metrics=[metric for metric in self.metrics if is_of_shapes(metric)],
            num_samples=len(archs),
            points_to_evaluate=archs,
            max_concurrent=max_concurrent,
            progress=progress,
            run_config=tune.RunConfig(storage_path=str(self.folder.path), name=f"recovered-{name}"),
        )

    @cached_property
    def _scorer(self) -> BlockScorer:
        """The scorer of this process and of the actors.

        Raises:
            RaynasError: if model, data and settings do not fit together.
        """
        space = given_alone(self.model, self.calls, self.inputs)
        source = (
            self.training.load_source().without_test().reduced(self.training.data_fraction, self.training.resolution)
        )
        fit_space(space, source)
        source = fit_source(source, space)
        check_student(space, self.training.teacher_of(space).eval(), source, self.training.kind)
        of_shapes = [metric for metric in self.metrics if is_of_shapes(metric)]
        return BlockScorer(self.model, self.calls, self.alternatives, self.training, self.inputs, source, of_shapes)

    def _fill(self, workers: int | None, tell: OnProgress) -> None:
        """Make what is missing.

        Raises:
            RaynasError: if a block fails; those that are finished are kept.
        """
        jobs = list(self._missing())
        if jobs:
            failed: list[str] = []
            n_done = 0
            with ActorPool(self._scorer, self.training.resources, workers) as pool:
                for result in pool.results(jobs, in_order=False):
                    n_done += 1
                    if result["failed"]:
                        failed.append(f"{result.get('block') or 'the given model'}: {result['error']}")
                        continue
                    self._keep(result["block"], result["finished"])
                    tell(f"{n_done}/{len(jobs)} {result['block'] or 'the given model'}: {_told(result['finished'])}")
            if failed:
                raise RaynasError(f"{failed[0]} ({len(failed)} of {len(jobs)} failed; the same call tries them again)")
        self._measure()

    def _missing(self) -> Iterator[Config]:
        if self.folder.given() is None:
            yield {"block": "", "alternatives": []}
        for i, path in enumerate(self.calls):
            names = [name for name in self.alternatives if self.folder.record(i, name) is None]
            if names:
                yield {"block": path, "alternatives": names}

    def _keep(self, path: str, finished: Mapping[str, Finished]) -> None:
        if not path:
            self.folder.write_given(finished[""].record)
        for name, each in finished.items() if path else ():
            self.folder.write(self.blocks.index(path), name, each.record, each.weights)

    def _measure(self) -> None:
        """Measure the costs that records lack, one after the other: those of a device, and those asked for later."""
        for metric in self.metrics:
            if metric.name not in self.given.costs:
                self.given.costs[metric.name] = float(self._measurer.value(metric, self.space.default))
                self.folder.write_given(self.given)
            for i, path in enumerate(self.blocks):
                lacking = [name for name in self.options[path] if metric.name not in self.records[path][name].costs]
                added = self._costs_added(metric, path, lacking) if lacking else {}
                for name, cost in added.items():
                    record = self.records[path][name]
                    record.costs[metric.name] = cost
                    self.folder.write(i, name, record)

    def _costs_added(self, metric: Metric, path: str, names: Sequence[str]) -> dict[str, float]:
        """Return what alternatives add to a cost of the given model."""
        if is_of_shapes(metric):
            given = self._measurer.value(metric, self.space.default)
            return {name: self._measurer.value(metric, self.space.of({path: name})) - given for name in names}

        def alone(module: nn.Module) -> float:
            block = BlockAlone(module, self.model, path, self.inputs)
            return float(measured_cost(block, metric, self.training.torch_device, self.training.latency_threads))

        given = alone(copy.deepcopy(self.model.get_submodule(path)))
        return {name: alone(self.load(path, name)) - given for name in names}


def _short(value: float) -> str:
    return f"{value:.4g}"


def _told(finished: Mapping[str, Finished]) -> str:
    parts = []
    for name, each in finished.items():
        score = ", ".join(f"{k} {v:.4g}" for k, v in list(each.record.scores.items())[:1])
        parts.append(f"{name} refused" if each.record.refused else f"{name} {score}".strip())
    return "; ".join(parts)
