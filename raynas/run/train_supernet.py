"""train_supernet(): the training of shared weights with Ray Tune, as a search whose space has one member."""

from dataclasses import replace

from ray import tune

from raynas.core.cost_limits import is_counted
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Constraints, Goal
from raynas.core.result import SearchResult
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError, SettingError, one_line
from raynas.metrics import Measurer, Metrics, read_goal
from raynas.run.baseline import Baseline, check_baseline, read_baseline
from raynas.run.results_folder import Place, checkpoints_at, results_place
from raynas.run.search import search
from raynas.strategies import RandomSearch
from raynas.trials.supernet.space import SupernetSpace
from raynas.trials.supernet.trained import ABOUT, TrainedSupernet
from raynas.trials.supernet.training import SupernetDistillation, SupernetTraining, WeightSharing
from raynas.trials.supernet.writing import write_supernet


def train_supernet(
    space: SearchSpace,
    settings: WeightSharing | None = None,
    *,
    constraints: Constraints = (),
    metrics: Metrics = (),
    baseline: Baseline | None = None,
    progress: bool = True,
    tensorboard: bool = True,
    run_config: tune.RunConfig | None = None,
) -> TrainedSupernet:
    """Train the weights that all networks of a space share; a second run with the same name continues the first.

    An epoch that fails is tried again from the one before, also by a second run.

    Args:
        space: read off a model with choices.
        settings: of the training: ``SupernetTraining``, the default, or ``SupernetDistillation``.
        constraints: hard limits on costs that follow from the shapes of a network alone, such as ``"params <= 1e5"`` or
            a predicted latency, at the size that is trained; see ``OneShot`` for what obeys them.
        metrics: metrics of your own that constraints may name, such as ``table.metric()``.
        baseline: what relative constraints refer to; see ``raynas.search``.
        progress: whether to show a live table.
        tensorboard: whether to write TensorBoard logs.
        run_config: Tune's; its ``name`` and ``storage_path`` (by default ``~/ray_results``) name the folder.

    Returns:
        The weights, the history of the training, and the architecture that a differentiable method has found.

    Raises:
        ArchiveError: if the folder cannot be written, or holds something else.
        InfeasibleError: if no architecture meets the constraints.
        RaynasError: if data, space and method do not fit together, or the training failed.
        SettingError: if a constraint is soft, or on a metric that must be timed or trained for.
        KeyboardInterrupt: if it was interrupted; the same call continues it.
    """
    settings = settings or SupernetTraining()
    run_config = run_config or tune.RunConfig()
    name = run_config.name or f"{space.name}-{type(settings.method).__name__}-supernet"
    run_config = replace(run_config, name=name)
    place = results_place(run_config, name)
    path = place.path
    goal = _limits(space, settings, read_goal(settings.objective, constraints, metrics), baseline)
    result = search(
        SupernetSpace(space, settings.method, goal),
        settings,
        RandomSearch(),
        objectives=settings.objective,
        num_samples=1,
        max_concurrent=1,
        retry_failed=True,
        progress=progress,
        tensorboard=tensorboard,
        leave_report=False,
        run_config=run_config,
    )
    ended = _ended(result, settings)
    is_written = (path / ABOUT).exists()
    trained = TrainedSupernet.load(path, space) if is_written else _written(place, space, settings, ended)
    distillation = settings if isinstance(settings, SupernetDistillation) else None
    named = {"data": settings.data, "data_dir": settings.data_dir}
    return replace(trained, named=named, distillation=distillation)


def _limits(space: SearchSpace, settings: WeightSharing, goal: Goal, baseline: Baseline | None) -> Goal | None:
    """Check limits on the networks, and resolve relative ones."""
    if not goal.constraints:
        return None
    for constraint in goal.constraints:
        if constraint.soft or not is_counted(constraint.metric, goal):
            raise SettingError(
                f"{constraint} cannot hold while shared weights are trained: only hard limits on what follows from the "
                "shapes of a network can, such as params, macs or a latency that a table or a predictor gives"
            )
    reference = read_baseline(baseline, space, goal=goal)
    check_baseline(goal, reference)
    if reference is None or not any(constraint.relative for constraint in goal.constraints):
        return goal
    measured = settings.fitted(space)[0] if reference.config else reference.space
    costs = Measurer(measured).costs(goal.metrics[constraint.metric] for constraint in goal.constraints)
    return goal.against({name: cost(reference.arch) for name, cost in costs.items()})


def _ended(result: SearchResult, settings: WeightSharing) -> Evaluation:
    if result.interrupted or not result.evaluations:
        n_done = max((record["fidelity"] for record in result.archive.events("result")), default=0)
        raise KeyboardInterrupt(f"{n_done} of {settings.epochs} epochs of the supernet are done")
    ended = result.evaluations[-1]
    if ended.status != "finished":
        reason = ended.error or f"it was stopped after {ended.fidelity} epochs"
        raise RaynasError(f"training the supernet failed: {reason}; the same call tries again")
    return ended


def _written(place: Place, space: SearchSpace, settings: WeightSharing, ended: Evaluation) -> TrainedSupernet:
    """Write the state in the last checkpoint as files that need no trial to be read."""
    path, checkpoints = place.path, checkpoints_at(place)
    where = f"{checkpoints.place}/{ended.trial}"
    found = checkpoints.read(ended.trial, ended.fidelity)
    if found is None or found.epoch < ended.fidelity:
        raise RaynasError(f"{where} holds no checkpoint of the last epoch; remove {path} to start again")
    state = found.state
    if state is None:
        raise RaynasError(f"the checkpoint in {where} holds no weights; remove {path} to start again")
    fitted, _ = settings.fitted(space)
    try:
        return write_supernet(path, fitted, settings, state)
    except (KeyError, TypeError, AttributeError) as error:
        holds = f"the checkpoint in {where} holds no supernet ({one_line(error)})"
        raise RaynasError(f"{holds}; remove {path} to start again") from None
