"""Values for the HParams page of TensorBoard: its columns, and the start and end of each trial."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_FLOAT
from tensorboard.plugins.hparams import api_pb2 as hparams_api
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from raynas.core.decision import Decision, Integer, Real
from raynas.core.space import SearchSpace
from raynas.views.tensorboard.event_file import plugin
from raynas.views.tensorboard.hparam_groups import groups_of

Config = Mapping[str, Any]
"""The config of a trial: its architecture under "arch", and hyperparameters."""

EXPERIMENT = "_hparams_/experiment"
"""The tag of the columns."""

SESSION_END = "_hparams_/session_end_info"
"""The last tag in the file of a trial that ended."""


def _value(tag: str, data: HParamsPluginData) -> "Summary.Value":
    # The page reads the metadata alone. Its own helpers are not used: they import TensorFlow.
    nothing = TensorProto(dtype=DT_FLOAT, tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=0)]))
    return Summary.Value(tag=tag, tensor=nothing, metadata=plugin("hparams", data.SerializeToString()))


def session_start(hparams: Mapping[str, bool | float | str]) -> "Summary.Value":
    """Return the start of a trial.

    Args:
        hparams: its values by column; see ``Columns.values``.
    """
    data = HParamsPluginData()
    data.session_start_info.start_time_secs = time.time()
    for name, value in hparams.items():
        _set(data.session_start_info.hparams[name], value)
    return _value("_hparams_/session_start_info", data)


def session_end(failed: bool) -> "Summary.Value":
    """Return the end of a trial."""
    data = HParamsPluginData()
    data.session_end_info.status = hparams_api.STATUS_FAILURE if failed else hparams_api.STATUS_SUCCESS
    data.session_end_info.end_time_secs = time.time()
    return _value(SESSION_END, data)


def experiment(columns: "Columns", metrics: Iterable[str], constants: Config) -> "Summary.Value":
    """Return the columns of the page; TensorBoard keeps to the first ones that it reads.

    Args:
        columns: of the configs.
        metrics: the columns after them; those that no trial reports stay empty.
        constants: a config that has constants of the user's, or none.
    """
    data = HParamsPluginData()
    data.experiment.time_created_secs = time.time()
    data.experiment.hparam_infos.extend(columns.infos(constants))
    for metric in dict.fromkeys([*metrics, "fidelity"]):
        data.experiment.metric_infos.add(name={"tag": f"trial/{metric}"}, display_name=metric)
    return _value(EXPERIMENT, data)


class Columns:
    """The columns of configs: one of a single type for each decision and each hyperparameter.

    Where there are more than the page shows at first, columns of groups precede them; see ``hparam_groups``.

    Args:
        space: has the decisions.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._decisions = list(space.decisions)
        inner = {decision.name for decision in space.architecture_space.decisions}
        own = [decision for decision in self._decisions if decision.name not in inner]
        self._groups = groups_of([decision for decision in self._decisions if decision.name in inner], own)
        columns = map(_column, self._decisions)
        self._as_text = {column.name for column in columns if column.type == hparams_api.DATA_TYPE_STRING}

    def values(self, config: Config) -> dict[str, bool | float | str]:
        """Return a trial's config by column."""
        flat = {**config["arch"], **dict(_dotted({name: value for name, value in config.items() if name != "arch"}))}
        as_text = {name for name in flat if name in self._as_text or not isinstance(flat[name], bool | int | float)}
        values = {name: str(value) if name in as_text else value for name, value in flat.items()}
        return {**{group.title: group.text(flat) for group in self._groups}, **values}

    def infos(self, config: Config) -> list[hparams_api.HParamInfo]:
        """Return the groups, the decisions with their options, then the user's constants that ``config`` holds."""
        text = hparams_api.DATA_TYPE_STRING
        groups = [hparams_api.HParamInfo(name=group.title, type=text, differs=True) for group in self._groups]
        columns = [*groups, *map(_column, self._decisions)]
        known = {column.name for column in columns}
        rest = {name: value for name, value in self.values(config).items() if name not in known} if config else {}
        constants = [hparams_api.HParamInfo(name=name, type=_data_type([value])) for name, value in rest.items()]
        return [*columns, *constants]


def _dotted(config: Config, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values in nested dicts, named as the decisions of hyperparameters are."""
    for name, value in config.items():
        yield from _dotted(value, f"{prefix}{name}.") if isinstance(value, dict) else [(f"{prefix}{name}", value)]


def _column(decision: Decision) -> hparams_api.HParamInfo:
    if isinstance(decision, Integer | Real):
        interval = hparams_api.Interval(min_value=decision.low, max_value=decision.high)
        return hparams_api.HParamInfo(
            name=decision.name, type=hparams_api.DATA_TYPE_FLOAT64, domain_interval=interval, differs=True
        )
    info = hparams_api.HParamInfo(name=decision.name, type=_data_type(decision.options), differs=True)
    for option in decision.options:
        _set(info.domain_discrete.values.add(), str(option) if info.type == hparams_api.DATA_TYPE_STRING else option)
    return info


def _data_type(options: Sequence[object]) -> int:
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
