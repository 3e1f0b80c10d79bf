"""A search as ``raynas search`` was asked for it, made of the classes that its options name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from raynas.cli.hyperparameters import parse_hyperparameters
from raynas.cli.options import LatencyOptions, ReportOptions, RetrainOptions, RunOptions, SearchOptions
from raynas.cli.search_request import SearchRequest, read_search
from raynas.cli.spaces import SpaceMaker, space_maker
from raynas.cli.stages import parse_stages
from raynas.cli.tables import TRAINABLES
from raynas.core.metric import Metric
from raynas.errors import RaynasError
from raynas.funnels import FunnelStage, check_stages
from raynas.metrics import Metrics, read_goal
from raynas.metrics.latency import latency
from raynas.oneshot import ONESHOT
from raynas.run.repeats import Repeats
from raynas.strategies import EARLY_STOPPING, STRATEGIES, EarlyStopping, Strategy
from raynas.trials import TrialSettings
from raynas.user_code import load_object


@dataclass(frozen=True, kw_only=True)
class SearchCommand:
    """A search with its report.

    Args:
        names: the name chosen from each table.
        space: makes the space for the data.
        strategy: with its early stopping.
        trainable: scores architectures; in a funnel, in its last stage.
        search: see ``SearchOptions``; hyperparameters are Tune domains.
        run: see ``RunOptions``; the name is filled in.
        repeats: trainings of the best at the end; None for none.
        report: see ``ReportOptions``.
        retrain: see ``RetrainOptions``; None where the trainable is none that can retrain.
        given: the options that the user gave, by path.
        text: all options as YAML for ``--config``.
        stages: of a funnel; none for a search in one stage.
        metrics: metrics to measure and show besides.
    """

    names: Mapping[str, str]
    space: SpaceMaker
    strategy: Strategy
    trainable: TrialSettings
    search: SearchOptions
    run: RunOptions
    repeats: Repeats | None
    report: ReportOptions
    retrain: RetrainOptions | None
    given: frozenset[str]
    text: str
    stages: tuple[FunnelStage, ...] = ()
    metrics: Metrics = ()


def parse_search(argv: Sequence[str]) -> SearchCommand:
    """Read the command line, and make what it asks for; see ``read_search`` and ``search_command``."""
    return search_command(read_search(argv))


def search_command(request: SearchRequest) -> SearchCommand:
    """Make the space, strategy and trainable that a request names.

    Raises:
        RaynasError: if a stage, an objective, a constraint or a hyperparameter cannot be read, or makes no sense.
        ValueError: if a value is out of range.
    """
    names, fields_of, search = request.names, request.options.fields_of, request.search
    trainable = _trainable(request)
    early_stopping = _early_stopping(request)
    stages = parse_stages(search.funnel, trainable, early_stopping)
    metrics = [*load_metrics(search.metrics), *latency_metrics(request.latency)]
    goal = read_goal(search.objectives, search.constraints, metrics)
    if stages:
        check_stages(stages, goal)
        trainable = stages[-1].settings
    else:
        trainable.check_goal(goal)
    if "method" in names and search.hyperparameters:
        raise RaynasError("subnets inherit weights and are not trained: there are no --hyperparameters to search")
    strategy = STRATEGIES[names["strategy"]](
        **fields_of("strategy", names["strategy"]), early_stopping=None if stages else early_stopping
    )
    return SearchCommand(
        names=names,
        space=space_maker(request.options, names["space"], request.given),
        strategy=strategy,
        trainable=trainable,
        search=replace(search, hyperparameters=parse_hyperparameters(search.hyperparameters, trainable)),
        run=request.run,
        repeats=_repeats(request, trainable, is_funnel=bool(stages)),
        report=request.report,
        retrain=request.retrain,
        given=request.given,
        text=request.text,
        stages=stages,
        metrics=metrics,
    )


def load_metrics(names: Sequence[str]) -> list[Metric | str]:
    """Return the metrics that ``--metrics`` lists: names as they are, and those that ``module:name`` refers to.

    Raises:
        RaynasError: if code cannot be imported, or is no metric.
    """
    return [_own_metric(name) if ":" in name else name for name in names]


def latency_metrics(options: LatencyOptions) -> list[Metric]:
    """Return the latencies that the options ask for, one for each device; none if all have their defaults.

    Raises:
        RaynasError: if a table or a predictor cannot be read.
        SettingError: if a name is none, or a table is given beside settings of a measurement.
        UnknownNameError: if there is no such back end.
    """
    if options == LatencyOptions():
        return []
    names = ("backend", "measure", "batch_size", "dtype", "time_limit", "table", "predictor")
    given = {name: getattr(options, name) for name in names}
    return [latency(**given, device=device) for device in options.device or (None,)]


def _own_metric(reference: str) -> Metric:
    found = load_object(reference)
    if not isinstance(found, Metric):
        raise RaynasError(f"{reference!r} is a {type(found).__name__}, not a raynas.Metric")
    return found


def _repeats(request: SearchRequest, trainable: TrialSettings, *, is_funnel: bool) -> Repeats | None:
    if not request.repeats.top:
        return None
    if is_funnel:
        raise RaynasError("a funnel has no repeats: leave out --repeats.top")
    repeats = Repeats(top=request.repeats.top, seeds=request.repeats.seeds)
    repeats.check(trainable)
    return repeats


def _trainable(request: SearchRequest) -> TrialSettings:
    values = request.options.fields_of("trainable", request.names["trainable"])
    if method := request.names.get("method"):
        values["method"] = ONESHOT[method](**request.options.fields_of("method", method))
    return TRAINABLES[request.names["trainable"]](**values)


def _early_stopping(request: SearchRequest) -> EarlyStopping | None:
    name = request.names["early_stopping"]
    if name == "none":
        return None
    return EARLY_STOPPING[name](**request.options.fields_of("early_stopping", name))
