"""ConvertedSpace: the search space of the smaller relatives of a given model."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from raynas.converting.fingerprint import fingerprint_of, weights_fingerprint_of
from raynas.converting.groups import Group
from raynas.converting.layer import ConvertedModel, Plan
from raynas.converting.profile import Profile, Profiler, member, members
from raynas.converting.summary import as_text, counted, rows_of
from raynas.core.architecture import Architecture, Option
from raynas.core.decision import Categorical, Decision
from raynas.core.goal import Constraints
from raynas.core.inputs import InputSpec
from raynas.errors import SettingError, SpaceError, one_line
from raynas.metrics import Measurer, Metrics, read_goal
from raynas.metrics.module_macs import macs_by_module
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
        """The widths in the order of the layers, kernels, depths, resolutions; the default of each is the given one."""
        return tuple(Categorical(name, tuple(each)) for name, each in self.plan.options.items())

    @property
    def given(self) -> nn.Module:
        """The given model itself, with its weights; only to be read."""
        return self.plan.wiring.model

    @property
    def largest(self) -> Architecture:
        """The given model, which is the default too, and the natural baseline."""
        return self.default

    @property
    def natural_baseline(self) -> Architecture:
        """The given model."""
        return self.default

    @property
    def smallest(self) -> Architecture:
        """The member with the smallest option of each decision."""
        return member(self.decisions, 0.0)

    @property
    def bounds(self) -> tuple[Architecture, Architecture]:
        """The smallest and the largest member: params and MACs grow with every width and depth."""
        return self.smallest, self.largest

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen digits, equal for two searches of the same networks with the same weights of the given model."""
        return fingerprint_of(self.plan, f"{super().fingerprint} {self.weights_fingerprint}")

    @cached_property
    def weights_fingerprint(self) -> str:  # computed once: the model must not change
        """Sixteen digits of the weights of the given model."""
        return weights_fingerprint_of(self.plan.wiring.model)

    @property
    def code(self) -> Sequence[object]:
        """The classes of the given model and its parts, whose ``forward`` the weights do not show."""
        return tuple(dict.fromkeys(type(module) for module in self.plan.wiring.model.modules()))

    @property
    def groups(self) -> Mapping[str, Group]:
        """The groups of channels that vary, by the name of their decision."""
        return self.plan.groups

    def summary(self, max_rows: int | None = None) -> str:
        """Return a table of the decisions, with each one's share of params and MACs, and of what cannot vary.

        Args:
            max_rows: number of decisions, and of what cannot vary, that are listed; None for all.
        """
        macs = macs_by_module(self.plan.wiring.model, self.inputs)
        fixed = [(each.name, each.reason) for each in self.fixed]
        return as_text(
            f"{self.name}: {counted(self.plan)}, {members(self.size)}", rows_of(self.plan, macs), fixed, max_rows
        )

    def profile(
        self,
        constraints: Constraints = (),
        *,
        metrics: Metrics = (),
        device: str = "cpu",
        n_threads: int = 1,
    ) -> Profile:
        """Measure the smallest, the middle and the largest member before any training, and say if limits can be met.

        Args:
            constraints: limits such as ``"macs <= 0.5 * baseline"``; the baseline is the given model.
            metrics: metrics of your own that limits name; see ``raynas.search``.
            device: the device that latency is measured on.
            n_threads: CPU threads that it is measured with.

        Raises:
            RaynasError: if a limit cannot be read, or a member cannot be measured on the device.
        """
        try:
            torch.device(device)
        except RuntimeError:
            raise SettingError(f"device must be one of torch's, such as cpu or cuda, got {device!r}") from None
        goal = read_goal(constraints=constraints, metrics=metrics)
        profiler = Profiler(self.decisions, Measurer(self, device=device, n_threads=n_threads), goal.metrics)
        values = profiler.measured(goal.constraints)
        return Profile(self.name, self.size, values, profiler.verdicts(goal.constraints, values), goal.metrics)

    def build(self, arch: Mapping[str, Option]) -> nn.Module:
        """Return the network of ``arch``, plain PyTorch, with its part of the given model's weights.

        Raises:
            SpaceError: if ``arch`` is not a member.
        """
        return self.plan.member(self.canonical(arch))

    def with_weights(self, weights: Mapping[str, Tensor]) -> "ConvertedSpace":
        """Return the same space with other weights of the given model, such as those of a trained supernet.

        Members are the same, down to the channels that they keep.

        Args:
            weights: state of the model, by its names.

        Raises:
            SpaceError: if they are not those of the model.
        """
        changed = copy.deepcopy(self)
        for name in ("fingerprint", "weights_fingerprint"):
            vars(changed).pop(name, None)
        try:
            changed.given.load_state_dict(weights)
        except (RuntimeError, TypeError, AttributeError) as error:
            raise SpaceError(f"the weights are not those of {self.name}: {one_line(error)}") from None
        return changed

    def elastic_widths(self, options: Mapping[str, Option]) -> dict[str, int]:
        """Return the one elastic layer, which is the whole model."""
        return {"": 1}


class _Factory:
    """Makes the model of a ``ConvertedSpace``."""

    def __init__(self, plan: Plan) -> None:
        if not plan.options:
            raise SpaceError("nothing in the model can vary")
        self.plan = plan

    def __call__(self) -> nn.Module:
        return ConvertedModel(self.plan)
