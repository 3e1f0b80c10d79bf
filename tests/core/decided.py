"""A space of given decisions, some of them conditional."""

from collections.abc import Mapping, Sequence

from torch import nn

from raynas.core.architecture import Option
from raynas.core.decision import Categorical, Decision, Integer, Real
from raynas.core.space import SearchSpace


class Decided(SearchSpace):
    """A space of given decisions whose networks hold one number."""

    input_shape = (2,)

    def __init__(self, *decisions: Decision) -> None:
        self._given = decisions

    @property
    def decisions(self) -> Sequence[Decision]:
        return self._given

    def build(self, arch: Mapping[str, Option]) -> nn.Module:
        self.canonical(arch)
        return nn.Linear(2, 1)


DEPTH = Integer("depth", 1, 3)
KIND = Categorical("kind", ("conv", "pool", "none"))
CHAIN = (
    DEPTH,
    KIND,
    Categorical("kernel", (3, 5), active_if={"kind": ("conv", "pool")}),
    Categorical("groups", (1, 2), active_if={"kernel": (5,), "kind": ("conv",)}),
    Integer("width", 0, 2, active_if={"depth": (2, 3)}),
    Categorical("extra", ("a", "b"), active_if={"width": (1,), "groups": (2,)}),
)
LR = Real("lr", low=1e-4, high=1e-1, log=True)
MOMENTUM = Real("momentum", low=0.0, high=0.9, active_if={"kind": ("conv",)})
