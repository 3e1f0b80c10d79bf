"""TensorBoard logs of a search, written from its archive: scalars, a filled HParams page, the Pareto front.

``search/`` is the run of the whole search, ``trials/<trial>/`` that of each trial: the HParams page takes a run for a
session, so every trial needs an event file of its own. To keep that cheap a file is written in one go when its trial
ends, without fsync, as everything in it also stands in the archive; trials that take longer show their curves live.
"""

import errno
import io
import logging
import math
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ray.tune import Callback
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_FLOAT, DT_STRING
from tensorboard.plugins.hparams import api_pb2 as hparams_api
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tensorboard.summary.writer.record_writer import RecordWriter

from raynas.core.archive import Archive, Record, evaluation_of
from raynas.core.decision import Decision, Integer, Real
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal, Objective
from raynas.core.searcher import ArchitectureSearcher
from raynas.core.space import SearchSpace
from raynas.errors import one_line
from raynas.metrics import METRICS

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 5.0
"""How often what running trials have reported is written."""

FIGURE_SECONDS = 10.0
"""How often the Pareto figure is drawn, at most; drawing takes a twentieth of the time at most."""

# The pages group tags by what stands before the slash, and open the first two groups.
_SEARCH, _TRIAL = "search/", "trial/"
_SESSION_END = "_hparams_/session_end_info"
_COUNTS = {
    "finished": "trials_finished",
    "stopped": "trials_stopped",
    "failed": "trials_failed",
    "refused": "refused",
    "duplicate": "duplicates",
}
_STATUS_COLOURS = {"finished": "tab:blue", "stopped": "tab:orange", "failed": "tab:red"}


class TensorBoardCallback(Callback):
    """Writes the TensorBoard logs of a search while Tune runs it; never lets Tune feel an error.

    Args:
        searcher: whose archive to show.
        log_dir: what to give to ``tensorboard --logdir``.
    """

    def __init__(self, searcher: ArchitectureSearcher, log_dir: str | Path) -> None:
        self._searcher: ArchitectureSearcher | None = searcher
        self._log: TensorBoardLog | None = TensorBoardLog(log_dir, searcher.space, n_before=len(searcher.archive))
        self._warned = False

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Write what is new."""
        self._safely(lambda log, s: log.update(s.archive, s.goal))

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Write what is left."""
        self._safely(lambda log, s: log.update(s.archive, s.goal))
        self._safely(lambda log, s: log.close())

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles callbacks; a copy elsewhere must not write to the same files.
        return {"_searcher": None, "_log": None, "_warned": False}

    def _safely(self, act: Callable[["TensorBoardLog", ArchitectureSearcher], None]) -> None:
        if self._log is None or self._searcher is None:
            return
        try:
            act(self._log, self._searcher)
        except Exception as error:  # an exception in a callback would end the search
            if not self._warned:
                logger.warning("the TensorBoard logs in %s are incomplete: %s", self._log.path, one_line(error))
            self._warned = True


class TensorBoardLog:
    """Turns the records of an archive into event files.

    The files of earlier sessions stay; a trial's is written anew if it is missing or was cut short.

    Args:
        path: where the runs lie.
        space: what is searched; its decisions are the columns of the HParams page.
        n_before: how many records the archive held when this session began.
    """

    def __init__(self, path: str | Path, space: SearchSpace, *, n_before: int = 0) -> None:
        self.path = Path(path)
        self._n_before = n_before
        self._n_shown = n_before if _event_files(self.path / "search") else 0  # in the run of the whole search
        self._columns = _Columns(space)
        self._search = EventFile(self.path / "search")
        self._records: Iterator[Record] = iter(())
        self._n_records = 0
        self._trials: dict[str, _Trial] = {}
        self._evaluations: list[Evaluation] = []
        self._counts = Counter[str]()
        self._best = _Best(Goal())
        self._experiment_written = False
        self._n_drawn = 0
        self._flush_at = time.monotonic() + FLUSH_SECONDS
        self._draw_at = time.monotonic() + FIGURE_SECONDS

    def update(self, archive: Archive, goal: Goal) -> None:
        """Take in the records added since the last call, and write what is due.

        Args:
            archive: the same at each call.
            goal: what ranks the evaluations now: relative constraints get resolved along the way.
        """
        if goal != self._best.goal:
            self._best = _Best(goal, self._evaluations)
        if not self._n_records:
            self._records = iter(archive)
        while self._n_records < len(archive):  # asked for no more than there is, a list's iterator stays usable
            self._n_records += 1
            self._take(next(self._records))
        now = time.monotonic()
        if now >= self._flush_at:
            self._flush_at = now + FLUSH_SECONDS
            self._flush()
        if now >= self._draw_at:
            self._draw_at = now + FIGURE_SECONDS
            self._draw()
            self._draw_at += 20 * (time.monotonic() - now)

    def close(self) -> None:
        """Write all that is left."""
        try:
            self._draw()
        finally:
            self._flush()

    def _take(self, record: Record) -> None:
        event = record["event"]
        if event == "proposed":
            folder = self.path / "trials" / re.sub(r"[^\w-]", "_", record["trial"])
            shown = self._n_records <= self._n_before and _is_whole(folder)
            self._trials[record["trial"]] = _Trial(folder, record["config"], self._columns, shown=shown)
        elif event == "result":
            self._trials[record["trial"]].report(record)
        elif event == "ended":
            self._end(record)
        elif event in ("refused", "duplicate"):
            self._counts[event] += 1

    def _end(self, record: Record) -> None:
        trial = self._trials.pop(record["trial"])
        evaluation = evaluation_of(record, trial.config)
        self._evaluations.append(evaluation)
        self._best.add(evaluation)
        self._counts[evaluation.status] += 1
        if evaluation.ok and not self._experiment_written:
            self._experiment_written = True
            self._search.add(_experiment(self._columns, self._best.goal, trial.config, evaluation))
            self._search.flush()
        if self._n_records > self._n_shown:
            self._search.add(_scalars({**self._best.values, **self._count_scalars()}), len(self._evaluations))
        trial.end(record)

    def _count_scalars(self) -> dict[str, float]:
        return {f"{_SEARCH}{name}": self._counts[what] for what, name in _COUNTS.items()}

    def _draw(self) -> None:
        """Show the Pareto figure and the best architecture, if there is anything new."""
        n = len(self._evaluations)
        if n == self._n_drawn or self._n_records <= self._n_shown:
            return
        self._n_drawn = n
        text = [_text(f"{_SEARCH}best", self._best.table())] if self._best.evaluations else []
        self._search.add([*text, *_figure(self._evaluations, self._best.goal)], n)

    def _flush(self) -> None:
        self._search.flush()
        for trial in self._trials.values():
            trial.file.flush()


class EventFile:
    """The event file of one run, made when there is something to write.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"events.out.tfevents.{int(time.time()):010d}.{os.getpid()}.raynas"
        self._pending = io.BytesIO()
        self._writer = RecordWriter(self._pending)
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def add(self, values: "Sequence[Summary.Value]", step: int = 0) -> None:
        """Keep values of one step for the next ``flush``."""
        self._write(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))

    def flush(self) -> None:
        """Append what was kept to the file."""
        if self._pending.tell():
            _append(self._path, self._pending.getvalue())
            self._pending.seek(0)
            self._pending.truncate()

    def _write(self, event: Event) -> None:
        self._writer.write(event.SerializeToString())


class _Trial:
    """What is known of a trial that has not ended, and the file of its run, unless an earlier session has shown it."""

    def __init__(self, folder: Path, config: Mapping[str, Any], columns: "_Columns", *, shown: bool) -> None:
        self.config = config
        self.file = EventFile(folder)
        self._last: dict[str, int] = {}  # the step up to which each metric was shown
        self._shown = shown
        if not shown:
            for remnant in _event_files(folder):
                (folder / remnant).unlink()
            self.file.add([_session_start(columns.values(config))])

    def report(self, record: Record) -> None:
        """Show the metrics, but none twice: a trial that went on from a checkpoint repeats some."""
        if self._shown:
            return
        step = record["fidelity"]
        new = {name: value for name, value in record["metrics"].items() if self._last.get(name, -1) < step}
        self._last.update(dict.fromkeys(new, step))
        if new:
            self.file.add(_scalars({f"{_TRIAL}{name}": value for name, value in new.items()}), step)

    def end(self, record: Record) -> None:
        """Write the file."""
        if self._shown:
            return
        self.report({**record, "metrics": {**record["metrics"], "fidelity": record["fidelity"]}})
        if record["error"]:
            self.file.add([_text("error", record["error"])], record["fidelity"])
        failed = record["status"] == "failed"
        self.file.add([_session_end(hparams_api.STATUS_FAILURE if failed else hparams_api.STATUS_SUCCESS)])
        self.file.flush()


class _Best:
    """The best of the fully trained evaluations that meet the constraints, for each objective."""

    def __init__(self, goal: Goal, evaluations: Sequence[Evaluation] = ()) -> None:
        self.goal = goal
        self.evaluations: dict[str, Evaluation] = {}
        self._scores: dict[str, float] = {}
        for evaluation in evaluations:
            self.add(evaluation)

    @property
    def values(self) -> dict[str, float]:
        """The value of each objective in its best evaluation."""
        return {f"{_SEARCH}best_{metric}": e.metrics[metric] for metric, e in self.evaluations.items()}

    def add(self, evaluation: Evaluation) -> None:
        """Take an evaluation into account."""
        if not _counts(evaluation, self.goal):
            return
        for objective, score in zip(self.goal.objectives, self.goal.scores(evaluation), strict=True):
            if score > self._scores.get(objective.metric, -math.inf):
                self._scores[objective.metric] = score
                self.evaluations[objective.metric] = evaluation

    def table(self) -> str:
        """The best evaluations side by side, in Markdown."""
        columns = [
            {"trial": e.trial, **{n: f"{v:.6g}" for n, v in e.metrics.items()}, **e.arch, **e.hyperparameters}
            for e in self.evaluations.values()
        ]
        names = dict.fromkeys(name for column in columns for name in column)
        lines = [["", *(f"best {metric}" for metric in self.evaluations)], ["---"] * (len(columns) + 1)]
        lines += [[name, *(str(column.get(name, "")).replace("|", r"\|") for column in columns)] for name in names]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _counts(evaluation: Evaluation, goal: Goal) -> bool:
    """Whether it is comparable: trained to the end, and allowed."""
    return evaluation.status == "finished" and goal.violation(evaluation) == 0


# --- values --------------------------------------------------------------------------------------------------------


def _scalars(values: Mapping[str, float]) -> "list[Summary.Value]":
    return [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]


def _text(tag: str, markdown: str) -> "Summary.Value":
    tensor = TensorProto(dtype=DT_STRING, string_val=[markdown.encode()], tensor_shape=TensorShapeProto())
    return Summary.Value(tag=tag, tensor=tensor, metadata=_plugin("text"))


def _image(tag: str, png: bytes, width: int, height: int) -> "Summary.Value":
    return Summary.Value(tag=tag, image=Summary.Image(width=width, height=height, encoded_image_string=png))


def _plugin(name: str, content: bytes = b"") -> SummaryMetadata:
    return SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=name, content=content))


# --- the HParams page ----------------------------------------------------------------------------------------------


def _hparams_value(tag: str, data: HParamsPluginData) -> "Summary.Value":
    # The page reads the metadata alone. Its own helpers are not used: they import TensorFlow.
    nothing = TensorProto(dtype=DT_FLOAT, tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=0)]))
    return Summary.Value(tag=tag, tensor=nothing, metadata=_plugin("hparams", data.SerializeToString()))


def _session_start(hparams: Mapping[str, bool | float | str]) -> "Summary.Value":
    data = HParamsPluginData()
    data.session_start_info.start_time_secs = time.time()
    for name, value in hparams.items():
        _set(data.session_start_info.hparams[name], value)
    return _hparams_value("_hparams_/session_start_info", data)


def _session_end(status: int) -> "Summary.Value":
    data = HParamsPluginData()
    data.session_end_info.status = status
    data.session_end_info.end_time_secs = time.time()
    return _hparams_value(_SESSION_END, data)


def _experiment(
    columns: "_Columns", goal: Goal, config: Mapping[str, Any], evaluation: Evaluation
) -> "list[Summary.Value]":
    """The columns of the page; the metrics are known once a trial has ended."""
    asked = [o.metric for o in goal.objectives] + [c.metric for c in goal.constraints]
    data = HParamsPluginData()
    data.experiment.time_created_secs = time.time()
    data.experiment.hparam_infos.extend(columns.infos(config))
    for metric in dict.fromkeys([*asked, *evaluation.metrics, "fidelity"]):
        data.experiment.metric_infos.add(name={"tag": f"{_TRIAL}{metric}"}, display_name=metric)
    return [_hparams_value("_hparams_/experiment", data)]


class _Columns:
    """How the page shows configs: a column for each decision and each hyperparameter, every one of a single type."""

    def __init__(self, space: SearchSpace) -> None:
        self._decisions = list(space.decisions)
        columns = map(_column, self._decisions)
        self._as_text = {column.name for column in columns if column.type == hparams_api.DATA_TYPE_STRING}

    def values(self, config: Mapping[str, Any]) -> dict[str, bool | float | str]:
        """A trial's config by column."""
        flat = {**config["arch"], **{name: value for name, value in config.items() if name != "arch"}}
        as_text = {name for name in flat if name in self._as_text or not isinstance(flat[name], bool | int | float)}
        return {name: str(value) if name in as_text else value for name, value in flat.items()}

    def infos(self, config: Mapping[str, Any]) -> list[Any]:
        """The decisions with their options, then what else ``config`` holds: constants of the user's."""
        decided = {decision.name for decision in self._decisions}
        rest = {name: value for name, value in self.values(config).items() if name not in decided}
        constants = [hparams_api.HParamInfo(name=name, type=_data_type([value])) for name, value in rest.items()]
        return [*map(_column, self._decisions), *constants]


def _column(decision: Decision) -> Any:
    if isinstance(decision, Integer | Real):
        interval = hparams_api.Interval(min_value=decision.low, max_value=decision.high)
        return hparams_api.HParamInfo(
            name=decision.name, type=hparams_api.DATA_TYPE_FLOAT64, domain_interval=interval, differs=True
        )
    info = hparams_api.HParamInfo(name=decision.name, type=_data_type(decision.options), differs=True)
    for option in decision.options:
        _set(info.domain_discrete.values.add(), str(option) if info.type == hparams_api.DATA_TYPE_STRING else option)
    return info


def _data_type(options: Sequence[Any]) -> int:
    if all(isinstance(option, bool) for option in options):
        return int(hparams_api.DATA_TYPE_BOOL)
    if all(isinstance(option, int | float) and not isinstance(option, bool) for option in options):
        return int(hparams_api.DATA_TYPE_FLOAT64)
    return int(hparams_api.DATA_TYPE_STRING)


def _set(slot: Any, value: bool | float | str) -> None:
    """Fill a ``google.protobuf.Value``."""
    if isinstance(value, bool):
        slot.bool_value = value
    elif isinstance(value, str):
        slot.string_value = value
    else:
        slot.number_value = value


# --- the Pareto figure ---------------------------------------------------------------------------------------------


def _figure(evaluations: Sequence[Evaluation], goal: Goal) -> "list[Summary.Value]":
    """The first objective against latency, params and the other objectives, with the Pareto front of each pair."""
    directions = {name: metric.mode for name, metric in {**METRICS, **goal.metrics}.items()}
    directions |= {o.metric: o.mode for o in goal.objectives}
    shown = dict.fromkeys([*(o.metric for o in goal.objectives[1:]), *goal.watched, "latency_ms", "params"])
    across = [
        Objective(m, directions[m])
        for m in shown
        if any(m in e.metrics for e in evaluations) and m != goal.first.metric
    ]
    if not across:
        return []
    # Importing matplotlib takes a third of a second, which no search should pay before its first trial; and no pyplot,
    # whose state is global.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(across), 4))
    figure.subplots_adjust(left=0.7 / figure.get_figwidth(), right=0.98, bottom=0.13, top=0.97)
    for axes, objective in zip(figure.subplots(1, len(across), squeeze=False)[0], across, strict=True):
        _draw_pair(axes, objective, evaluations, goal)
    canvas = FigureCanvasAgg(figure)
    png = io.BytesIO()
    canvas.print_png(png)
    return [_image(f"{_SEARCH}pareto_front", png.getvalue(), *canvas.get_width_height())]


def _draw_pair(axes: Any, across: Objective, evaluations: Sequence[Evaluation], goal: Goal) -> None:
    x, y = across.metric, goal.first.metric
    drawn = [e for e in evaluations if x in e.metrics and y in e.metrics]
    for status, colour in _STATUS_COLOURS.items():
        points = [(e.metrics[x], e.metrics[y]) for e in drawn if e.status == status]
        if points:
            axes.scatter(*zip(*points, strict=True), s=12, c=colour, alpha=0.6, label=status)
    front = _front([(e.metrics[x], e.metrics[y]) for e in drawn if _counts(e, goal)], across, goal.first)
    if front:
        # Between two points of the front, what the worse of them in x offers is not yet to be had.
        where = "post" if across.mode == "min" else "pre"
        axes.step(*zip(*front, strict=True), where=where, c="black", lw=1, marker=".", label="Pareto front")
    axes.set(xlabel=x, ylabel=y)
    if not drawn:
        return
    low, high = min(e.metrics[x] for e in drawn), max(e.metrics[x] for e in drawn)
    if 0 < 10 * low <= high:
        axes.set_xscale("log")
    axes.legend(fontsize="small")


def _front(points: Sequence[tuple[float, float]], first: Objective, second: Objective) -> list[tuple[float, float]]:
    """The points that no other beats in both coordinates, in ascending order of the first."""
    front: list[tuple[float, float]] = []
    for point in sorted(points, key=lambda p: (first.sign * p[0], second.sign * p[1]), reverse=True):
        if not front or second.sign * point[1] > second.sign * front[-1][1]:
            front.append(point)
    return sorted(front)


# --- files ---------------------------------------------------------------------------------------------------------


def _event_files(folder: Path) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if "tfevents" in name]
    except OSError:  # most often there is no such folder yet; writing will tell of anything worse
        return []


def _is_whole(folder: Path) -> bool:
    """Whether an earlier session wrote a trial to its end, which is the last thing in its file."""
    for name in _event_files(folder):
        with (folder / name).open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - 256, 0))
            if _SESSION_END.encode() in file.read():
                return True
    return False


def _append(path: Path, content: bytes) -> None:
    """Add whole records or, on a full disk, nothing: TensorBoard reads no further than a torn one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        end = file.tell()
        if file.write(content) < len(content):
            file.truncate(end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
