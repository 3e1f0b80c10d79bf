"""Archives of searches, and their logs read back with TensorBoard's readers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray import tune
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups
from torch import nn

from raynas.core.architecture import Architecture
from raynas.core.archive import Archive
from raynas.core.decision import Categorical, Decision, Integer
from raynas.core.goal import Goal
from raynas.core.joint_space import JointSpace
from raynas.core.space import SearchSpace
from raynas.views.tensorboard import TensorBoardLog

ACCURACY = Goal.parse("accuracy")


class Space(SearchSpace):
    """One decision of every kind but a continuous one."""

    input_shape = (1,)

    @property
    def decisions(self) -> Sequence[Decision]:
        return [
            Categorical("op", choices=("conv", "pool")),
            Categorical("kernel", choices=(3, 5), active_if={"op": ("conv",)}),
            Categorical("norm", choices=("batch", 0, True)),
            Categorical("skip", choices=(True, False)),
            Integer("depth", low=1, high=4),
        ]

    def build(self, arch: Architecture) -> nn.Module:
        raise NotImplementedError


SPACE = JointSpace(Space(), {"lr": tune.loguniform(1e-4, 1e-1)})

CONV_ARCH = {"op": "conv", "kernel": 5, "norm": 0, "skip": True, "depth": 2}

CONV = {"arch": CONV_ARCH, "lr": 0.01, "schedule": None}


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
