"""Costs of alternatives in the place of their block, as far as costs add up over blocks."""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from raynas.compressing.assembling.blocks import call_of
from raynas.compressing.assembling.space import AssemblySpace
from raynas.core.architecture import Architecture
from raynas.core.decision import Categorical, Decision
from raynas.core.inputs import Arguments, Inputs, InputSpec, make_example
from raynas.core.metric import Metric
from raynas.core.space import SearchSpace
from raynas.errors import SettingError
from raynas.metrics import Measurer, Metrics, metrics_named
from raynas.nn.modes import evaluating

PEAKS = ("inference_memory_mb", "peak_memory_mb")
"""Metrics that are largest values over a run, which do not add up."""


def additive_metrics(metrics: Metrics) -> list[Metric]:
    """Return metrics by name, if blocks can be measured by them.

    Raises:
        SettingError: if one does not add up over blocks, or needs a training or data.
        UnknownNameError: if a name is not in the table.
    """
    found = metrics_named(metrics)
    for metric in found:
        if metric.name in PEAKS or metric.measure is None or metric.needs == "data":
            reason = "is a largest value" if metric.name in PEAKS else "is measured of no network alone"
            raise SettingError(
                f"costs of blocks must add up, and {metric.name!r} {reason}: name others, such as params, macs or "
                "latency_ms"
            )
    return found


def is_of_shapes(metric: Metric) -> bool:
    """Return True for a metric that follows from shapes, and is the same in every process."""
    return metric.needs == "shapes"


def shape_costs(space: AssemblySpace, path: str, metrics: Iterable[Metric]) -> dict[str, dict[str, float]]:
    """Return what each alternative to a block adds to the costs of the given model; costs follow from shapes.

    Args:
        space: of the given model with the alternatives.
        path: of the block.
        metrics: the costs.
    """
    measurer, metrics = Measurer(space), list(metrics)
    given = measurer.values(metrics, space.default)
    decision = next(each for each in space.decisions if each.name == path)
    found = {}
    for name in decision.options[1:]:
        values = measurer.values(metrics, space.of({path: name}))
        found[str(name)] = {metric: float(values[metric] - given[metric]) for metric in values}
    return found


class BlockAlone(SearchSpace):
    """The space of a block, or of a module in its place, on the inputs that it gets in the given model.

    Args:
        module: the block or the module.
        model: the given model.
        path: of the block.
        inputs: description of the inputs of the model.
    """

    def __init__(self, module: nn.Module, model: nn.Module, path: str, inputs: InputSpec) -> None:
        self._module, self._model, self._path, self._model_inputs = module, model, path, inputs
        self.input_shape = ()

    @property
    def decisions(self) -> Sequence[Decision]:
        """A single one."""
        return (Categorical("block", ("given",)),)

    def build(self, arch: Architecture) -> nn.Module:
        """Return the module itself."""
        return self._module

    @property
    def inputs(self) -> InputSpec:
        """Arguments of the block where the model gets examples of its inputs."""
        return self._arguments

    def _arguments(self, batch_size: int) -> Inputs:
        example = Arguments.of(make_example(self._model_inputs, batch_size))
        with evaluating(self._model):
            return call_of(self._model, self._path, example).arguments


def measured_cost(block: BlockAlone, metric: Metric, device: torch.device, n_threads: int) -> float:
    """Return a cost of a block that is measured while it runs by itself."""
    return Measurer(block, device=device, n_threads=n_threads).value(metric, block.default)
