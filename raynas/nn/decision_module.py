"""DecisionModule: the base of the modules that a user writes where a decision is to be made."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from torch import Tensor, nn

from raynas.core.architecture import Option
from raynas.core.decision import Condition, Decision
from raynas.errors import SpaceError
from raynas.nn.factories import ModuleFactory
from raynas.nn.selection import Mixture

BranchOf = Callable[[str], Callable[..., object]]
"""Looks up a branch by its name: a module, or whatever computes what it would."""


class DecisionModule(nn.Module, ABC):
    """A decision in a model; base of ``Choice``, ``InputChoice`` and ``Repeat``.

    It holds no weights, only factories of its branches. ``assemble`` puts the plain module of an option together from
    branches of any origin: fresh ones when a network is built, trained ones when a subnet is extracted from a supernet.
    The two therefore have the same state_dict keys.

    Args:
        factories: the factory of each branch, by the name that the branch has in a dotted path.
        label: name of the decision, for choice points that share one; the dotted path of the choice point if None.

    Raises:
        SpaceError: if the label is empty or holds "/".
    """

    def __init__(self, factories: Mapping[str, ModuleFactory], label: str | None = None) -> None:
        super().__init__()
        if label is not None and (not label or "/" in label):
            raise SpaceError(f"the label of a choice must be a name without '/', got {label!r}")
        self.factories = factories
        self.label = label

    @abstractmethod
    def decision(self, name: str, active_if: Condition) -> Decision:
        """Return the decision, under the name and the condition that its choice point gives it."""

    @abstractmethod
    def assemble(self, option: Option, branch_of: Callable[[str], nn.Module]) -> nn.Module:
        """Return the plain module of an option.

        Args:
            option: one of the decision's options.
            branch_of: looks up a branch; called once for each branch of the option, in order.
        """

    @abstractmethod
    def run(self, option: Option, branch_of: BranchOf, *inputs: object) -> object:
        """Compute the output of the module of an option, without making the module.

        Args:
            option: one of the decision's options.
            branch_of: looks up a branch.
            inputs: arguments of the module.
        """

    @abstractmethod
    def mix(self, mixture: Mixture, branch_of: BranchOf, *inputs: object) -> Tensor | None:
        """Compute the weighted sum of the alternatives' outputs."""

    @property
    def alternatives(self) -> Sequence[Option]:
        """The entries that a mixture weighs: by default the options, one for each branch."""
        return tuple(self.factories)

    def strongest(self, weights: Sequence[float]) -> Option:
        """Return the option to choose for a mixture with these weights, one for each alternative."""
        return self.alternatives[max(range(len(self.alternatives)), key=weights.__getitem__)]

    def options_with(self, branch: str) -> Sequence[Option]:
        """Return the options that contain a branch: by default the option of its name."""
        return (branch,)

    def make(self, branch: str) -> nn.Module:
        """Return a new branch from its factory.

        Raises:
            SpaceError: if the factory returns anything but a module.
        """
        made = self.factories[branch]()
        if not isinstance(made, nn.Module):
            raise SpaceError(f"the factory of {branch!r} must return an nn.Module, got {type(made).__name__}")
        return made

    def forward(self, *args: object, **kwargs: object) -> NoReturn:
        """Refuse to run: nothing can be computed before the decision is made.

        Raises:
            SpaceError: always.
        """
        raise SpaceError(
            f"this {type(self).__name__} is not decided yet: make the network with space.build(arch), "
            "where space = ModelSpace(YourModel, input_shape=...); in a network that was made so, a plain list or dict "
            "holds it, whose place nn.ModuleList or nn.ModuleDict takes"
        )
