"""The baseline of a search: what relative constraints refer to, and what the views show beside the findings."""

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import nn

from raynas.core.architecture import Architecture, Config
from raynas.core.archive import Archive
from raynas.core.goal import Goal
from raynas.core.joint_space import JointSpace
from raynas.core.measurement import Measured, as_float
from raynas.core.metric import Metric
from raynas.core.one_network import GIVEN, OneNetwork
from raynas.core.space import SearchSpace
from raynas.errors import ArchiveError, RaynasError, SettingError, one_line
from raynas.metrics import count_params
from raynas.metrics.table import COUNTED
from raynas.run.architecture_file import read_architecture
from raynas.trials.settings import TrialSettings

Baseline = Mapping[str, object] | nn.Module | str | Path
"""An architecture, or the Tune config of a trial; a network, which need not be of the space; "default", for the first
option of every decision; or JSON of an architecture, as text or in a file."""

DEFAULT = "default"

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 5
"""Maximum number of measurements of the baseline until one can be trusted: every relative limit depends on it."""

PAUSE_SECONDS = 1.0
"""Time between two of them, in which a disturbance may end."""


@dataclass(frozen=True)
class Reference:
    """A baseline that was read.

    Args:
        name: equal for equal baselines.
        space: the space that it is measured in.
        arch: its architecture there.
        config: of its trial; None for a network that was given, which is measured, but has no trial.
    """

    name: str
    space: SearchSpace
    arch: Architecture
    config: Config | None = None


def read_baseline(
    given: Baseline | None,
    space: SearchSpace,
    hyperparameters: Mapping[str, object] | None = None,
    goal: Goal | None = None,
) -> Reference | None:
    """Read a baseline; hyperparameters that it leaves open are the first, or the middle, of their domains.

    Args:
        given: the baseline; None for that which the space has by nature, such as the model that it was made of, if
            limits of ``goal`` refer to one, and otherwise for none.
        space: the space that is searched.
        hyperparameters: domains that are searched jointly.
        goal: of the search.

    Raises:
        RaynasError: if it is no architecture of the space, or a file cannot be read.
    """
    if given is None and goal is not None and _relative(goal):
        given = space.architecture_space.natural_baseline
    if given is None:
        return None
    if isinstance(given, nn.Module):
        name = f"a {type(given).__name__} of {count_params(given)} parameters"
        return Reference(name, OneNetwork(given, space), GIVEN)
    joint = JointSpace(space, hyperparameters) if hyperparameters else space
    first = joint.to_config(joint.default)
    config = joint.to_config(joint.from_config({**first, **_config(given, space)}))
    return Reference(json.dumps(config, sort_keys=True), space, Architecture.from_config(config), config)


def _config(given: Mapping[str, object] | str | Path, space: SearchSpace) -> Mapping[str, object]:
    """Return the part of a Tune config that is given."""
    if isinstance(given, Mapping):
        return given if "arch" in given else {"arch": given}
    if given == DEFAULT:
        return {}
    if isinstance(given, str) and given.lstrip().startswith("{"):
        return {"arch": Architecture.from_json(given)}
    return {"arch": read_architecture(given, space)}


def check_baseline(goal: Goal, reference: Reference | None) -> None:
    """Refuse relative constraints that nothing can resolve.

    Raises:
        SettingError: if there is no baseline, or only a network, of which nothing is known that needs training.
    """
    for metric in _relative(goal):
        known = [name for name, m in goal.metrics.items() if m.measure and m.needs != "data"]
        if reference is None:
            raise SettingError(
                f"a constraint on {metric!r} refers to the baseline, and none is given: in Python say "
                'baseline="default" (the first option of every decision), or give an architecture, its JSON file or a '
                "model; on the command line --baseline default, or --baseline FILE.json"
            )
        if reference.config is None and metric not in known:
            raise SettingError(
                f"a constraint on {metric!r} refers to the baseline, {reference.name}, which has no trial: of a model "
                f"only metrics that need no training are measured ({', '.join(n for n in goal.asked if n in known)}); "
                "write the limit as a number, or give an architecture of the space, which is tried first"
            )


def baseline_figures(
    archive: Archive, goal: Goal, reference: Reference | None, settings: TrialSettings
) -> dict[str, float]:
    """Return metrics of the baseline that are known before any trial: those that relative constraints need.

    Of a network that was given also those that views show. Values of an earlier session are kept: a latency measured
    again would move the limit during the search.

    Args:
        archive: of the search.
        goal: with constraints as the user wrote them.
        reference: the baseline.
        settings: the way of scoring.

    Raises:
        ArchiveError: if the limits of the earlier sessions came from another baseline.
        RaynasError: if the baseline cannot be measured.
        SettingError: if relative constraints cannot be resolved.
    """
    check_baseline(goal, reference)
    if reference is None:
        return {}
    relative = _relative(goal)
    known = _figures_before(archive, reference, binding=bool(relative))
    shown = [] if reference.config else [*goal.asked, *COUNTED]
    wanted = [metric for metric in dict.fromkeys([*relative, *shown]) if metric not in known]
    return {**known, **(_measured(reference, wanted, goal, settings) if wanted else {})}


def _relative(goal: Goal) -> list[str]:
    return [constraint.metric for constraint in goal.constraints if constraint.relative]


def _figures_before(archive: Archive, reference: Reference, *, binding: bool) -> dict[str, float]:
    if not archive.events("proposed"):
        return {}
    earlier = archive.events("session")[-1]
    name = earlier.get("baseline_is", reference.name)
    if name == reference.name:
        return dict(earlier["baseline"])
    if binding and archive.events("ended"):
        raise ArchiveError(
            f"{archive.path} holds a search with limits relative to another baseline, {name}; this one is "
            f"{reference.name}: choose another name, or run with the same baseline to continue"
        )
    return {}


def _measured(reference: Reference, wanted: list[str], goal: Goal, settings: TrialSettings) -> dict[str, float]:
    figures = {}
    # A limit relative to a prediction would share its error: where the network can be measured, it is.
    metrics = {name: metric.at_end or metric for name, metric in goal.metrics.items()}
    for metric, cost in settings.costs(reference.space, metrics).items():
        if metric in wanted:
            try:
                figures[metric] = _trusted(partial(cost, reference.arch), metrics[metric])
            except Exception as error:
                reason = f"{metric} of the baseline, {reference.name}, cannot be measured: {one_line(error)}"
                raise RaynasError(reason) from error
    return figures


def _trusted(measure: Callable[[], float], metric: Metric) -> float:
    """Measure until the value can be trusted; otherwise return the best, since disturbances make it worse."""
    values: list[float] = []
    while len(values) < MAX_ATTEMPTS:
        value = as_float(measure())
        if not isinstance(value, Measured) or value.provenance.reliable:
            return value
        values.append(value)
        if len(values) < MAX_ATTEMPTS:
            time.sleep(PAUSE_SECONDS)
    best = (min if metric.mode == "min" else max)(values)
    doubt = best.provenance.doubt if isinstance(best, Measured) else ""
    logger.warning("%s of the baseline is doubtful, and so are limits relative to it: %s", metric.name, doubt)
    return best
