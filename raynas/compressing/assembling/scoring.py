"""BlockScorer: makes, trains and scores the alternatives to a block, in whichever process it is."""

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from raynas.compressing.assembling.alternatives import Alternative, made
from raynas.compressing.assembling.blocks import Call, call_of
from raynas.compressing.assembling.costs import shape_costs
from raynas.compressing.assembling.folder import Record
from raynas.compressing.assembling.imitation import BlockBatches, Candidates, Imitation
from raynas.compressing.assembling.space import AssemblySpace, given_alone
from raynas.core.architecture import Config
from raynas.core.inputs import Arguments, InputSpec
from raynas.core.metric import Metric
from raynas.core.outcome import Result
from raynas.data.batches import Batches
from raynas.data.sources import Source
from raynas.errors import RaynasError, SpaceError, one_line
from raynas.isolation import isolated
from raynas.metrics import Measurer
from raynas.nn.modes import evaluating
from raynas.seeds import seed_of
from raynas.threads import limited_threads
from raynas.trials.distillation import Distillation
from raynas.trials.mixed_precision import autocast
from raynas.trials.scores import checked_scores
from raynas.trials.trainer import Trainer


@dataclass(frozen=True)
class Finished:
    """An alternative that was made, or why there is none.

    Args:
        record: what is known of it.
        weights: of its module.
    """

    record: Record
    weights: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass
class BlockScorer:
    """Makes the alternatives to a block, trains them to imitate it, and scores the whole model with each.

    A config names a block and its alternatives: ``{"block": path, "alternatives": [...]}``; "" is the given model. The
    result holds a ``Finished`` for each under "finished". None depends on the others.

    Args:
        model: the given one; only read.
        calls: of its blocks on the example, by path.
        alternatives: by name.
        settings: of the training; its teacher scores whole models.
        inputs: description of the inputs.
        source: the data.
        metrics: costs that follow from shapes.
    """

    model: nn.Module
    calls: Mapping[str, Call]
    alternatives: Mapping[str, Alternative]
    settings: Distillation
    inputs: InputSpec
    source: Source
    metrics: Sequence[Metric]

    def run(self, config: Config) -> Result:
        """Return what became of the alternatives of a config; raises nothing."""
        status = {"training_iteration": 1, "complete": 1, "failed": 0, "error": "", "block": config["block"]}
        try:
            with isolated(), limited_threads(self.settings.n_threads):
                path = str(config["block"])
                finished = self._of_block(path, config["alternatives"]) if path else self._of_given()
                return {**status, "finished": finished}
        except Exception as error:
            return {**status, "failed": 1, "error": one_line(error)}

    def __getstate__(self) -> dict[str, object]:
        made_here = ("device", "given", "teacher", "batches")
        return {name: value for name, value in vars(self).items() if name not in made_here}

    @cached_property
    def device(self) -> torch.device:
        """Device of this process."""
        return self.settings.torch_device

    @property
    def _space(self) -> AssemblySpace:
        """The space of the given model alone."""
        return given_alone(self.model, self.calls, self.inputs)

    @cached_property
    def given(self) -> nn.Module:
        """The given model, in eval mode on the device."""
        return self._space.build(self._space.default).eval().to(self.device)

    @cached_property
    def teacher(self) -> nn.Module:
        """The model that whole models are compared with."""
        return self.settings.teacher_of(self._space)

    @cached_property
    def batches(self) -> Batches:
        """The data."""
        return self.settings.batches(self.source, self.device)

    def _precision(self) -> AbstractContextManager[object]:
        return autocast(self.device, self.settings.dtype)

    def _of_given(self) -> dict[str, Finished]:
        costs = Measurer(self._space).values(self.metrics, self._space.default)
        record = Record(scores=self.scores(self.given), costs={name: float(cost) for name, cost in costs.items()})
        return {"": Finished(record)}

    def _of_block(self, path: str, names: Sequence[str]) -> dict[str, Finished]:
        started = time.perf_counter()
        finished: dict[str, Finished] = {}
        modules: dict[str, nn.Module] = {}
        for name in names:
            try:
                modules[name] = self._made(path, name)
            except SpaceError as error:
                finished[name] = Finished(Record(refused=one_line(error)))
        if not modules:
            return finished
        before, after = self._trained(path, modules)
        space = AssemblySpace(self.model, {path: list(modules)}, lambda _, name: modules[name], self.inputs)
        for module in modules.values():
            module.cpu()
        costs = shape_costs(space, path, self.metrics)
        for name, module in modules.items():
            record = Record(costs=costs[name], error=after[name], start_error=before[name])
            try:
                record.scores = self.scores(space.build(space.of({path: name})))
                checked_scores({"error before": record.start_error, "error after": record.error})
            except RaynasError as error:  # It is not a finite number, for instance.
                record = Record(refused=one_line(error))
            finished[name] = Finished(record, {key: value.cpu() for key, value in module.state_dict().items()})
        for each in finished.values():
            each.record.seconds = (time.perf_counter() - started) / len(names)
        return finished

    def _made(self, path: str, name: str) -> nn.Module:
        torch.manual_seed(seed_of(self.settings.seed, path, name))
        module = made(self.alternatives[name], self.model.get_submodule(path), self.calls[path])
        self._check_whole(path, module)
        inputs, _ = next(iter(self.batches.train(seed_of(self.settings.seed, path, "begin"))))
        with torch.no_grad():
            call = call_of(self.given, path, Arguments.of(inputs))
            module = module.to(self.device)
            self.alternatives[name].begin(module, call)
        return module

    def _check_whole(self, path: str, module: nn.Module) -> None:
        """Check that the model runs with a module in the place of a block, of which its code may read attributes.

        Raises:
            SpaceError: if it does not.
        """
        space = AssemblySpace(self.model, {path: [""]}, lambda *_: module, self.inputs)
        whole = space.build(space.of({path: ""}))
        try:
            with evaluating(whole):
                space.example(2, next((p.device for p in self.model.parameters()), "cpu")).call(whole)
        except Exception as error:
            raise SpaceError(f"{type(self.model).__name__} does not run with it: {one_line(error)}") from error

    def _trained(self, path: str, modules: Mapping[str, nn.Module]) -> tuple[dict[str, float], dict[str, float]]:
        """Train alternatives in place; return their errors on the validation split before and after."""
        task = Imitation(tuple(modules))
        candidates = Candidates(modules, seed_of(self.settings.seed, path))
        batches = BlockBatches(self.batches, self.given, path, self._precision)
        before = task.examine(candidates, batches, precision=self._precision)
        if not any(True for _ in candidates.parameters()):
            return before, before
        # Each has its own gradients: a norm of all of them together must not decide.
        settings = replace(self.settings, clip_norm=None)
        seed = seed_of(settings.seed, path, "imitation")
        trainer = Trainer(candidates, batches, settings, seed=seed, device=self.device, task=task)
        while not trainer.finished:
            trainer.train_epoch()
        return before, task.examine(candidates, batches, precision=self._precision)

    def scores(self, model: nn.Module) -> dict[str, float]:
        """Return the scores of a whole model on the validation split."""
        settings = replace(self.settings, features=())
        model = model.eval().to(self.device)
        task = settings.task(self.teacher, model, self._space, self.device)
        scores = checked_scores(task.examine(model, self.batches, precision=self._precision))
        return {name: float(value) for name, value in scores.items()}
