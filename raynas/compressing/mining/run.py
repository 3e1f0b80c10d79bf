"""mine(): one fine-tune of all members of a model, thousands of them scored, a sample trained further."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from ray import tune
from rich.console import Console
from rich.text import Text
from torch import nn

from raynas.compressing.mining.mined import MinedFront, asked_of
from raynas.compressing.mining.recovering import Recovered, Recovery, folder_of, recover, shorter
from raynas.compressing.mining.sample import sample
from raynas.converting import ConvertedSpace, convert
from raynas.converting.options import Range
from raynas.core.constraint import Constraint
from raynas.core.cost_limits import is_counted
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Objective
from raynas.core.inputs import Inputs, part_of
from raynas.errors import RaynasError, SettingError
from raynas.files.inside import refuse_links
from raynas.metrics import Metrics, read_goal
from raynas.run.cluster import join_cluster
from raynas.run.results_folder import results_path
from raynas.run.search import search
from raynas.run.train_supernet import train_supernet
from raynas.strategies import NSGA2, Strategy
from raynas.trials import Distillation, Subnet, SupernetDistillation
from raynas.validate import whole

SUPERNET, MEMBERS = "1-supernet", "2-members"
"""Folders of the first two steps."""


def mine(
    given: nn.Module | ConvertedSpace,
    training: SupernetDistillation | None = None,
    strategy: Strategy | None = None,
    *,
    data: str | None = None,
    recovery: Distillation | None = None,
    objectives: str | Objective | Sequence[str | Objective] = ("divergence", "macs"),
    constraints: str | Constraint | Sequence[str | Constraint] = (),
    metrics: Metrics = (),
    members: int = 2000,
    recovered: int = 12,
    example_inputs: Inputs | None = None,
    vary: Mapping[str, Range] | None = None,
    seed: int = 0,
    max_concurrent: int | None = None,
    progress: bool = True,
    run_config: tune.RunConfig | None = None,
) -> MinedFront:
    """Mine the front of a model's smaller relatives; a second run with the same name continues the first.

    All members are trained together, once, from the weights of the model, which teaches them. Then many are scored with
    the weights that they inherit, and a sample is trained further: it says how far the inherited scores can be
    believed, and its networks are the result.

    Args:
        given: the trained model, or its space, see ``raynas.convert``.
        training: settings of the fine-tune; default ``SupernetDistillation(data=data)``, by the sandwich rule.
        strategy: proposes members to score; default ``NSGA2()``.
        data: the data, where ``training`` is left out.
        recovery: settings of the further training; by default those of the fine-tune for a quarter of the epochs.
        objectives: metrics that span the front: scores such as "divergence", "agreement" or "accuracy", and costs such
            as "macs" or "latency_ms".
        constraints: limits, such as ``"macs <= 0.6 * baseline"``, where the baseline is the given model.
        metrics: metrics to measure besides, or your own; see ``raynas.search``.
        members: number of members that are scored.
        recovered: number of members that are trained further, two thirds of them along the front.
        example_inputs: a batch of what the model takes, where ``given`` is a model; default a batch of the data.
        vary: what may vary, where ``given`` is a model; see ``raynas.convert``.
        seed: of the strategy and the sample.
        max_concurrent: largest number of actors; default as many as the cluster has room for.
        progress: whether to say what is done.
        run_config: Tune's; its ``name`` and ``storage_path`` (by default ``~/ray_results``) name the folder.

    Raises:
        ArchiveError: if the folder cannot be written, or holds something else.
        InfeasibleError: if no member meets the constraints.
        RaynasError: if data, model and settings do not fit together, or a step failed.
        KeyboardInterrupt: if it was interrupted; the same call continues it.
        ValueError: if an argument cannot be read.
    """
    training = _training(training, data)
    n_recovered, n_members = whole("recovered", recovered, 0), whole("members", members, 1)
    space = _space(given, training, example_inputs, vary)
    path = results_path(run_config, f"{space.name}-mined")
    refuse_links(path)
    join_cluster()
    config = run_config or tune.RunConfig()
    say = Console(quiet=not progress)
    goal = read_goal(objectives, constraints, metrics)
    counted = [constraint for constraint in goal.hard if is_counted(constraint.metric, goal)]
    say.print(Text(f"Step 1 of 3: the members of {space.name} are trained together"), soft_wrap=True)
    trained = train_supernet(
        space,
        training,
        constraints=counted,
        metrics=[goal.metrics[name] for name in goal.watched],
        progress=progress,
        tensorboard=False,
        run_config=replace(config, name=SUPERNET, storage_path=str(path)),
    )
    say.print(Text(f"Step 2 of 3: {n_members} members are scored"), soft_wrap=True)
    same = ("seed", "device", "gpus", "n_threads", "latency_threads", "calibration_batches", "batch_size")
    scoring = Subnet(supernet=trained, **{name: getattr(training, name) for name in same})
    found = search(
        space,
        scoring,
        strategy or NSGA2(),
        objectives=objectives,
        constraints=constraints,
        metrics=metrics,
        num_samples=n_members,
        seed=seed,
        points_to_evaluate=[space.largest, space.smallest][: None if not goal.constraints else 0],
        max_concurrent=max_concurrent,
        progress=progress,
        tensorboard=False,
        leave_report=False,
        run_config=replace(config, name=MEMBERS, storage_path=str(path)),
    )
    if found.interrupted:
        raise KeyboardInterrupt(f"{len(found.evaluations)} of {n_members} members are scored")
    chosen = sample(found.goal, found.eligible, n_recovered, seed)
    if not chosen and n_recovered:
        raise RaynasError(found.why_none)
    settings = Recovery.of(recovery or shorter(training), training.teacher_of(space))
    folder = folder_of(path, settings, trained.digest)
    say.print(Text(f"Step 3 of 3: {len(chosen)} members are trained further"), soft_wrap=True)
    inherited = trained.inherited
    archs = [e.arch for e, _ in chosen]
    results: dict[object, Evaluation] = {}
    asked, workers = asked_of(found.goal), max_concurrent
    for e, is_new in recover(inherited, archs, settings, folder, metrics=asked, workers=workers):
        results[e.arch] = e
        if is_new:
            say.print(Text(f"{len(results)} of {len(archs)}: {e.arch.key} {e.error or ''}"), soft_wrap=True)
    mined = MinedFront(
        space=inherited,
        members=found,
        supernet=trained,
        scoring=scoring,
        recovery=settings,
        recovered=tuple(
            Recovered(results[e.arch], e, on_front, folder / e.arch.key) for e, on_front in chosen if results[e.arch].ok
        ),
        folder=folder,
        path=path,
        failed=tuple(e for e in results.values() if not e.ok),
    )
    mined.write()
    say.print(Text(str(mined)), soft_wrap=True)
    return mined


def _training(training: SupernetDistillation | None, data: str | None) -> SupernetDistillation:
    if training is None:
        if data is None:
            raise SettingError("mine needs data: data='folder:photos', or SupernetDistillation(data=...)")
        return SupernetDistillation(data=data)
    if not isinstance(training, SupernetDistillation):
        raise SettingError(f"training must be a SupernetDistillation, got {training!r}")
    if data is not None:
        raise SettingError(f"data is named twice: leave out data={data!r}, or training")
    return training


def _space(
    given: nn.Module | ConvertedSpace,
    training: SupernetDistillation,
    example_inputs: Inputs | None,
    vary: Mapping[str, Range] | None,
) -> ConvertedSpace:
    if isinstance(given, ConvertedSpace):
        if example_inputs is not None or vary is not None:
            raise SettingError("example_inputs and vary are for a model: the space that is given has its own")
        return given
    if not isinstance(given, nn.Module):
        raise SettingError(f"mine needs a model, or the space that raynas.convert makes of one, got {given!r}")
    return convert(given, _example(training) if example_inputs is None else example_inputs, vary=vary)


def _example(training: SupernetDistillation) -> Inputs:
    """Return two examples of the data."""
    source = training.load_source().without_test().reduced(training.data_fraction, training.resolution)
    with torch.random.fork_rng(devices=[]):
        inputs, _ = next(iter(training.batches(source, torch.device("cpu")).examine("valid")))
    return part_of(inputs, slice(2))
