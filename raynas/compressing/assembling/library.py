"""BlockLibrary: alternatives to the blocks of a given model, each trained and scored, and the assemblies of them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import torch
from ray import tune
from torch import nn

from raynas.compressing.assembling.alternatives import Alternative, made
from raynas.compressing.assembling.assembly import Assembly
from raynas.compressing.assembling.blocks import Call
from raynas.compressing.assembling.costs import is_of_shapes
from raynas.compressing.assembling.folder import LibraryFolder, Record
from raynas.compressing.assembling.programme import Programme
from raynas.compressing.assembling.scoring import BlockScorer
from raynas.compressing.assembling.space import AssemblySpace, given_alone
from raynas.compressing.assembling.table import table_of
from raynas.core.constraint import Constraint
from raynas.core.inputs import InputSpec
from raynas.core.metric import Metric, Mode
from raynas.core.result import SearchResult
from raynas.data.fit_space import fit_source, fit_space
from raynas.errors import ArchiveError, InfeasibleError, RaynasError, UnknownNameError
from raynas.metrics import METRICS, Measurer
from raynas.run.search import search
from raynas.run.user_source import parts_of
from raynas.strategies import RandomSearch
from raynas.trials.distillation import Distillation, check_student
from raynas.validate import whole


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
        return table_of(self.given, self.records)

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
            path: {name: self._of_code(name, self._needed(self.folder.record(i, name))) for name in self.alternatives}
            for i, path in enumerate(self.calls)
        }

    def _of_code(self, name: str, record: Record) -> Record:
        """Return a record.

        Raises:
            ArchiveError: if its alternative was made by other code.
        """
        if record.code != parts_of(*self.alternatives[name].code):
            raise ArchiveError(
                f"the code of alternative {name!r} changed since {self.folder.path} was made: give it another name"
            )
        return record

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
        mode = mode_of(objective)
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
        counted = dict(self.measurer.values(of_shapes, arch))
        loss = (predicted[objective] - self.programme.given[objective]) * (1 if mode == "min" else -1)
        return Assembly(arch, predicted, counted, objective, loss, self.space)

    @cached_property
    def measurer(self) -> Measurer:
        """Measures networks of the space on the device of the training."""
        return Measurer(self.space, device=self.training.torch_device, n_threads=self.training.latency_threads)

    def measured(self, assembly: Assembly) -> dict[str, float]:
        """Return all costs of an assembly, measured of the whole network: latency too, which is predicted otherwise."""
        return dict(self.measurer.values(self.metrics, assembly.arch))

    def scored(self, assembly: Assembly) -> dict[str, float]:
        """Return the scores of an assembly on the validation split, where they are predicted otherwise."""
        return self.scorer.scores(assembly.build())

    def best_of(
        self, assemblies: Sequence[Assembly], objective: str = "divergence"
    ) -> tuple[Assembly, dict[str, float]]:
        """Return the assembly that scores best in truth, and its scores: a forward pass over the data for each.

        Args:
            assemblies: at least one, such as the best by their sums.
            objective: the score that decides.

        Raises:
            UnknownNameError: if there is no such score.
        """
        if objective not in self.given.scores:
            raise UnknownNameError("score", objective, self.given.scores)
        sign = 1 if mode_of(objective) == "min" else -1
        scored = [(assembly, self.scored(assembly)) for assembly in assemblies]
        return min(scored, key=lambda item: sign * item[1][objective])

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
    def scorer(self) -> BlockScorer:
        """Makes, trains and scores alternatives, in this process and in actors.

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


def mode_of(objective: str) -> Mode:
    """Return which values of a score or cost are better; of those that raynas does not know, less."""
    return METRICS[objective].mode if objective in METRICS else "min"
