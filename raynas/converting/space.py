"""ConvertedSpace: the search space of the smaller relatives of a given model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from raynas.converting.groups import Group
from raynas.converting.layer import ConvertedModel, Plan
from raynas.core.architecture import Architecture, Option
from raynas.core.decision import Categorical, Decision
from raynas.core.inputs import InputSpec
from raynas.errors import SpaceError
from raynas.metrics.cost import count_macs, count_params
from raynas.metrics.latency import measure_latency
from raynas.nn.model_space import ModelSpace


@dataclass(frozen=True)
class Fixed:
    """A group or a row of blocks that cannot vary.

    Args:
        name: its name.
        layers: paths of its layers.
        reason: the cause.
    """

    name: str
    layers: tuple[str, ...]
    reason: str


class ConvertedSpace(ModelSpace):
    """The given model and its smaller relatives; see ``convert``.

    Networks inherit the weights of the given model, with the most important channels, heads and blocks.

    Args:
        plan: what may vary.
        inputs: description of the inputs.
        fixed: what cannot vary, with the reason.
        title: class of the given model.
    """

    def __init__(self, plan: Plan, inputs: InputSpec, fixed: Sequence[Fixed], title: str) -> None:
        super().__init__(_Factory(plan), inputs=inputs)
        self.plan = plan
        self.fixed = tuple(fixed)
        self._title = title

    @property
    def name(self) -> str:
        """Class of the given model."""
        return self._title

    @property
    def decisions(self) -> Sequence[Decision]:
        """The widths in the order of the layers, then the depths; the default of each is the given one."""
        options = {**self.plan.widths, **self.plan.depths}
        return tuple(Categorical(name, tuple(each)) for name, each in options.items())

    @property
    def largest(self) -> Architecture:
        """The given model, which is the default too."""
        return self.default

    @property
    def smallest(self) -> Architecture:
        """The member with the smallest option of each decision."""
        return Architecture({decision.name: min(decision.options) for decision in self.decisions})

    @property
    def groups(self) -> Mapping[str, Group]:
        """The groups of channels that vary, by the name of their decision."""
        return self.plan.groups

    def summary(self) -> str:
        """Return a table of the decisions, with each one's share of the parameters, and of what is fixed."""
        total = sum(parameter.numel() for parameter in self.plan.wiring.model.parameters())
        lines = [f"{self.name}: {len(self.plan.widths)} widths, {len(self.plan.depths)} depths"]
        for name, group in self.plan.groups.items():
            share = sum(tensor.numel() for tensor in {slot.tensor for slot in group.slots}) / total
            options = ", ".join(map(str, self.plan.widths[name]))
            lines.append(f"  {name}: {options} ({len(group.layers)} layers, {share:.1%} of the parameters)")
        lines += [f"  {name}: {', '.join(map(str, each))} blocks" for name, each in self.plan.depths.items()]
        return "\n".join([*lines, *(f"  fixed: {each.name}: {each.reason}" for each in self.fixed)])

    def profile(self) -> Mapping[str, Mapping[str, float]]:
        """Return params, macs and latency_ms of the smallest, the middle and the largest member, untrained.

        A limit below the smallest member's cost cannot be met.
        """
        middle = {decision.name: decision.options[len(decision.options) // 2] for decision in self.decisions}
        members = {"smallest": self.smallest, "middle": Architecture(middle), "largest": self.largest}
        return {name: _costs(self.build(arch), self.inputs) for name, arch in members.items()}

    def build(self, arch: Mapping[str, Option]) -> nn.Module:
        """Return the network of ``arch``, plain PyTorch, with its part of the given model's weights.

        Raises:
            SpaceError: if ``arch`` is not a member.
        """
        return self.plan.member(self.canonical(arch))

    def elastic_widths(self, options: Mapping[str, Option]) -> dict[str, int]:
        """Return the one elastic layer, which is the whole model."""
        return {"": 1}


def _costs(model: nn.Module, inputs: InputSpec) -> Mapping[str, float]:
    latency = measure_latency(model, inputs)
    return {"params": count_params(model), "macs": count_macs(model, inputs), "latency_ms": latency}


class _Factory:
    """Makes the model of a ``ConvertedSpace``."""

    def __init__(self, plan: Plan) -> None:
        if not {**plan.widths, **plan.depths}:
            raise SpaceError("nothing in the model can vary")
        self.plan = plan

    def __call__(self) -> nn.Module:
        return ConvertedModel(self.plan)
