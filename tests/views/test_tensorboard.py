"""What stands in the event files, read back with TensorBoard's own readers."""

import pickle
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups
from torch import nn

from raynas.core.architecture import Architecture
from raynas.core.archive import Archive
from raynas.core.decision import Categorical, Decision, Integer, Real
from raynas.core.goal import Goal
from raynas.core.space import SearchSpace
from raynas.metrics import read_goal
from raynas.views.tensorboard import TensorBoardCallback, TensorBoardLog, event_file

ACCURACY = Goal.parse("accuracy")


class Space(SearchSpace):
    """One decision of every kind."""

    input_shape = (1,)

    @property
    def decisions(self) -> Sequence[Decision]:
        return [
            Categorical("op", choices=("conv", "pool")),
            Categorical("kernel", choices=(3, 5), active_if={"op": ("conv",)}),
            Categorical("norm", choices=("batch", 0, True)),
            Categorical("skip", choices=(True, False)),
            Integer("depth", low=1, high=4),
            Real("lr", low=1e-4, high=1e-1, log=True),
        ]

    def build(self, arch: Architecture) -> nn.Module:
        raise NotImplementedError


SPACE = Space()
CONV_ARCH = {"op": "conv", "kernel": 5, "norm": 0, "skip": True, "depth": 2}
CONV = {"arch": CONV_ARCH, "lr": 0.01, "schedule": None}
POOL = {"arch": {"op": "pool", "norm": "batch", "skip": False, "depth": 4}, "lr": 0.1, "schedule": "cosine"}


def propose(archive: Archive, trial: str, config: dict[str, Any] = CONV) -> None:
    archive.append("proposed", trial=trial, config=config, costs={})


def report(archive: Archive, trial: str, epoch: int, **metrics: float) -> None:
    archive.append("result", trial=trial, fidelity=epoch, metrics=metrics)


def end(archive: Archive, trial: str, epoch: int, status: str = "finished", error: str = "", **metrics: float) -> None:
    archive.append("ended", trial=trial, status=status, fidelity=epoch, metrics=metrics, error=error)


def add(archive: Archive, trial: str, status: str = "finished", **metrics: float) -> None:
    propose(archive, trial)
    end(archive, trial, 1, status, "", **metrics)


def write(path: Path, archive: Archive, goal: Goal = ACCURACY, n_before: int = 0) -> None:
    log = TensorBoardLog(path, SPACE, n_before=n_before)
    log.update(archive, goal)
    log.close(archive, goal)


def read(run: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(run), size_guidance={"images": 0, "scalars": 0, "tensors": 0})
    accumulator.Reload()
    return accumulator


def scalars(run: Path, tag: str) -> list[tuple[int, float]]:
    return [(event.step, round(event.value, 6)) for event in read(run).Scalars(tag)]


def text(run: Path, tag: str) -> str:
    return str(read(run).Tensors(tag)[-1].tensor_proto.string_val[0].decode())


def hparams_page(path: Path) -> tuple[Any, dict[str, Any]]:
    """What TensorBoard's HParams page gets: the experiment, and the session groups by name."""
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(path))
    multiplexer.Reload()
    provider = MultiplexerDataProvider(multiplexer, str(path))
    backend = backend_context.Context(TBContext(data_provider=provider, logdir=str(path)))
    context = RequestContext()
    experiment = backend.experiment_from_metadata(
        context, "", True, backend.hparams_metadata(context, ""), backend.hparams_from_data_provider(context, "", None)
    )
    statuses = api_pb2.Status.values()
    request = api_pb2.ListSessionGroupsRequest(start_index=0, slice_size=100, allowed_statuses=statuses)
    groups = list_session_groups.Handler(context, backend, "", request).run().session_groups
    return experiment, {group.name: group for group in groups}


def values(group: Any) -> dict[str, Any]:
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in group.hparams.items()}


def test_a_trial_has_a_curve_without_repetitions(tmp_path: Path) -> None:
    archive = Archive()
    propose(archive, "00001")
    for epoch in (1, 2, 3):
        report(archive, "00001", epoch, accuracy=epoch / 10, loss=1.0)
    for epoch in (3, 4):  # it went on from the checkpoint of epoch 2
        report(archive, "00001", epoch, accuracy=epoch / 10, loss=1.0)
    end(archive, "00001", 4, accuracy=0.4, loss=1.0, params=1e6)
    write(tmp_path, archive)
    run = tmp_path / "trials" / "00001"
    assert scalars(run, "trial/accuracy") == [(1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4)]
    assert scalars(run, "trial/params") == [(4, 1e6)]
    assert scalars(run, "trial/fidelity") == [(4, 4)]
    assert len(list(run.iterdir())) == 1


def test_the_hparams_page_has_every_decision_and_metric(tmp_path: Path) -> None:
    archive = Archive()
    propose(archive, "00001", CONV)
    end(archive, "00001", 3, accuracy=0.9, params=1e6)
    propose(archive, "00002", POOL)
    end(archive, "00002", 1, "stopped", accuracy=0.5, params=2e6)
    propose(archive, "00003", POOL)
    end(archive, "00003", 2, "failed", error="ValueError: no")
    write(tmp_path, archive, Goal.parse("accuracy", "latency_ms <= 5"))

    experiment, groups = hparams_page(tmp_path)
    assert {info.name for info in experiment.hparam_infos} == {*CONV_ARCH, "lr", "schedule"}
    metrics = {info.display_name: info.name.tag for info in experiment.metric_infos}
    assert metrics == {name: f"trial/{name}" for name in ("accuracy", "latency_ms", "params", "fidelity")}
    assert values(groups["trials/00001"]) == {**CONV_ARCH, "norm": "0", "lr": 0.01, "schedule": "None"}
    assert "kernel" not in values(groups["trials/00002"])
    shown = {value.name.tag: value.value for value in groups["trials/00001"].metric_values}
    assert shown == pytest.approx({"trial/accuracy": 0.9, "trial/params": 1e6, "trial/fidelity": 3})
    assert [groups[f"trials/0000{i}"].sessions[0].status for i in (1, 2, 3)] == [
        api_pb2.STATUS_SUCCESS,
        api_pb2.STATUS_SUCCESS,
        api_pb2.STATUS_FAILURE,
    ]
    assert text(tmp_path / "trials" / "00003", "error") == "ValueError: no"


def test_a_column_knows_what_can_stand_in_it(tmp_path: Path) -> None:
    archive = Archive()
    add(archive, "00001", accuracy=0.9)
    write(tmp_path, archive)
    columns = {info.name: info for info in hparams_page(tmp_path)[0].hparam_infos}
    assert list(columns["op"].domain_discrete) == ["conv", "pool"]
    assert list(columns["kernel"].domain_discrete) == [3, 5]
    assert list(columns["norm"].domain_discrete) == ["batch", "0", "True"]
    assert list(columns["skip"].domain_discrete) == [True, False]
    depth, lr = columns["depth"].domain_interval, columns["lr"].domain_interval
    assert (depth.min_value, depth.max_value, lr.min_value, lr.max_value) == (1, 4, 1e-4, 1e-1)
    assert columns["skip"].type == api_pb2.DATA_TYPE_BOOL


def test_a_running_trial_shows_before_it_ends(tmp_path: Path) -> None:
    archive = Archive()
    log = TensorBoardLog(tmp_path, SPACE)
    propose(archive, "00001")
    report(archive, "00001", 1, accuracy=0.1)
    log.update(archive, ACCURACY)
    assert not tmp_path.joinpath("trials").exists()  # a short trial gets its file in one go
    log._flush_at = 0.0
    log.update(archive, ACCURACY)
    run = tmp_path / "trials" / "00001"
    assert scalars(run, "trial/accuracy") == [(1, 0.1)]
    assert hparams_page(tmp_path)[1]["trials/00001"].sessions[0].status == api_pb2.STATUS_UNKNOWN
    end(archive, "00001", 2, accuracy=0.2)
    log.update(archive, ACCURACY)
    assert scalars(run, "trial/accuracy") == [(1, 0.1), (2, 0.2)]
    assert hparams_page(tmp_path)[1]["trials/00001"].sessions[0].status == api_pb2.STATUS_SUCCESS
    assert len(list(run.iterdir())) == 1


def test_the_search_has_the_best_and_the_counts_after_each_evaluation(tmp_path: Path) -> None:
    archive = Archive()
    goal = read_goal(["accuracy", "latency_ms"], "params <= 5")
    add(archive, "1", accuracy=0.5, latency_ms=9, params=1)
    archive.append("refused", config={}, metrics={}, reason="params")
    add(archive, "2", "failed")
    add(archive, "3", "stopped", accuracy=0.9, latency_ms=1, params=1)
    archive.append("duplicate", config={})
    add(archive, "4", accuracy=0.8, latency_ms=1, params=6)
    add(archive, "5", accuracy=0.4, latency_ms=2, params=1)
    write(tmp_path, archive, goal)
    run = tmp_path / "search"
    curves = {tag: [value for _, value in scalars(run, tag)] for tag in read(run).Tags()["scalars"]}
    assert curves == {
        "search/best_accuracy": [0.5] * 5,
        "search/best_latency_ms": [9, 9, 9, 9, 2],
        "search/trials_finished": [1, 1, 1, 2, 3],
        "search/trials_stopped": [0, 0, 1, 1, 1],
        "search/trials_failed": [0, 1, 1, 1, 1],
        "search/refused": [0, 1, 1, 1, 1],
        "search/duplicates": [0, 0, 0, 1, 1],
    }
    assert [step for step, _ in scalars(run, "search/refused")] == [1, 2, 3, 4, 5]
    best = text(run, "search/best").splitlines()
    assert best[0] == "|  | best accuracy | best latency_ms |"
    assert "| trial | 1 | 5 |" in best
    assert "| op | conv | conv |" in best


def test_a_constraint_resolved_along_the_way_is_applied_to_what_came_before(tmp_path: Path) -> None:
    archive = Archive()
    log = TensorBoardLog(tmp_path, SPACE)
    relative = Goal.parse("accuracy", "params <= 0.5 * baseline")
    add(archive, "1", accuracy=0.9, params=10)
    log.update(archive, relative)
    add(archive, "2", accuracy=0.7, params=4)
    log.update(archive, relative.against({"params": 10}))
    log.close(archive, relative.against({"params": 10}))
    assert scalars(tmp_path / "search", "search/best_accuracy") == [(1, 0.9), (2, 0.7)]


def test_the_pareto_front_is_drawn_now_and_then_and_at_the_end(tmp_path: Path) -> None:
    archive = Archive()
    log = TensorBoardLog(tmp_path, SPACE)
    for i in range(5):
        add(archive, str(i), accuracy=i / 10, params=10.0 ** (i + 1), latency_ms=2.0)
        log.update(archive, ACCURACY)
    log._draw_at = 0.0
    log.update(archive, ACCURACY)
    log.update(archive, ACCURACY)
    add(archive, "5", "stopped", accuracy=0.5, params=0.0)
    log.update(archive, ACCURACY)
    log.close(archive, ACCURACY)
    log.close(archive, ACCURACY)
    images = read(tmp_path / "search").Images("search/pareto_front")
    assert [image.step for image in images] == [5, 6]
    assert images[0].encoded_image_string.startswith(b"\x89PNG")
    assert (images[0].width, images[0].height) == (1000, 400)


def test_no_figure_without_costs(tmp_path: Path) -> None:
    archive = Archive()
    add(archive, "1", accuracy=0.5)
    write(tmp_path, archive)
    assert read(tmp_path / "search").Tags()["images"] == []


def test_resuming_leaves_what_was_written_and_adds_what_is_missing(tmp_path: Path) -> None:
    archive = Archive()
    add(archive, "whole", accuracy=0.1)
    add(archive, "lost", accuracy=0.2)
    propose(archive, "cut")
    report(archive, "cut", 1, accuracy=0.3)
    write(tmp_path, archive)
    trials = tmp_path / "trials"
    next((trials / "lost").iterdir()).unlink()
    (whole,) = (trials / "whole").iterdir()
    before = whole.read_bytes()
    n_before = len(archive)
    report(archive, "cut", 1, accuracy=0.3)  # from the start, as there was no checkpoint
    end(archive, "cut", 2, accuracy=0.4)
    write(tmp_path, archive, n_before=n_before)

    assert list((trials / "whole").iterdir()) == [whole]
    assert whole.read_bytes() == before
    assert scalars(trials / "lost", "trial/accuracy") == [(1, 0.2)]
    assert scalars(trials / "cut", "trial/accuracy") == [(1, 0.3), (2, 0.4)]
    assert hparams_page(tmp_path)[1]["trials/cut"].sessions[0].status == api_pb2.STATUS_SUCCESS
    assert scalars(tmp_path / "search", "search/best_accuracy") == [(1, 0.1), (2, 0.2), (3, 0.4)]


def test_resuming_writes_all_if_the_logs_were_deleted(tmp_path: Path) -> None:
    archive = Archive()
    add(archive, "1", accuracy=0.1)
    add(archive, "2", accuracy=0.2)
    write(tmp_path, archive, n_before=len(archive))
    assert scalars(tmp_path / "search", "search/best_accuracy") == [(1, 0.1), (2, 0.2)]
    assert len(list((tmp_path / "trials").iterdir())) == 2


def test_files_of_another_search_do_not_pass_for_trials_of_this_one(tmp_path: Path) -> None:
    old, new = Archive(), Archive()
    add(old, "1", accuracy=0.1)
    write(tmp_path, old)
    add(new, "1", accuracy=0.9)
    write(tmp_path, new)
    assert scalars(tmp_path / "trials" / "1", "trial/accuracy") == [(1, 0.9)]


def test_a_trial_cannot_write_elsewhere(tmp_path: Path) -> None:
    archive = Archive()
    add(archive, "../../evil", accuracy=0.1)
    write(tmp_path / "logs", archive)
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]
    assert [path.name for path in (tmp_path / "logs" / "trials").iterdir()] == ["______evil"]


def test_on_a_full_disk_no_torn_record_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __enter__(self) -> "Full":
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def write(self, content: bytes) -> int:
            return int(self.file.write(content[: len(content) // 2]))

    file = event_file.EventFile(tmp_path)
    file.flush()
    file.add(event_file.scalars({"a": 1.0}), 1)
    really_open = Path.open
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda path, *args, **kwargs: Full(really_open(path, *args, **kwargs)))
        with pytest.raises(OSError, match="No space left"):
            file.flush()
    file.flush()
    assert scalars(tmp_path, "a") == [(1, 1.0)]


def searcher_of(archive: Archive) -> Any:
    return SimpleNamespace(archive=archive, goal=ACCURACY, space=SPACE)


def test_the_callback_writes_what_the_searcher_recorded(tmp_path: Path) -> None:
    archive = Archive()
    callback = TensorBoardCallback(searcher_of(archive), tmp_path)
    add(archive, "1", accuracy=0.1, params=5.0)
    callback.on_step_end(1, [])
    assert scalars(tmp_path / "trials" / "1", "trial/accuracy") == [(1, 0.1)]
    callback.on_experiment_end([])
    assert read(tmp_path / "search").Images("search/pareto_front")


def test_an_error_is_told_once_and_kept_from_tune(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "logs").write_text("a file where a folder should be")
    archive = Archive()
    callback = TensorBoardCallback(searcher_of(archive), tmp_path / "logs")
    for i in range(3):
        add(archive, str(i), accuracy=0.1)
        callback.on_step_end(i, [])
    callback.on_experiment_end([])
    assert len(caplog.records) == 1
    assert caplog.records[0].message.startswith(f"the TensorBoard logs in {tmp_path / 'logs'} are incomplete: NotADir")


def test_a_copy_in_another_process_writes_nothing(tmp_path: Path) -> None:
    archive = Archive()
    add(archive, "1", accuracy=0.1)
    copy = pickle.loads(pickle.dumps(TensorBoardCallback(searcher_of(archive), tmp_path)))
    copy.on_step_end(0, [])
    copy.on_experiment_end([])
    assert list(tmp_path.iterdir()) == []
