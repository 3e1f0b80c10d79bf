"""Choice: one of several modules."""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from torch import Tensor, nn

from raynas.core.architecture import Option
from raynas.core.decision import Categorical, Condition, Decision
from raynas.errors import SpaceError
from raynas.nn.decision_module import BranchOf, DecisionModule
from raynas.nn.factories import ModuleFactory, bound, check_different, check_factory
from raynas.nn.fast.layer_kinds import Candidate
from raynas.nn.fast.mixed_operation import mixed
from raynas.nn.input_choice import reduced
from raynas.nn.selection import Mixture, current_call


class Choice(DecisionModule):
    """One of several modules: ``Choice({"conv3x3": lambda: nn.Conv2d(16, 16, 3, padding=1), "skip": nn.Identity})``.

    The variables that a lambda uses are read when the Choice is made, so a loop may change them afterwards.

    Args:
        candidates: for each option the factory of its module: a class or function without arguments, called only when
            a network is built. A candidate may hold choices itself.
        label: name of the decision, for choice points that share one; the dotted path of the choice point if None.
        null: True for one more weight in a relaxation, for no operation at all, which no architecture can choose (the
            "none" of DARTS).
        narrow: gives, for k, candidates with 1/k of the channels, as partial channels (PC-DARTS) need them.

    Raises:
        SpaceError: if there is no candidate, a candidate is no factory, two are the same lambda, or a name is empty or
            holds "/" or ".".
    """

    def __init__(
        self,
        candidates: Mapping[str, ModuleFactory],
        label: str | None = None,
        *,
        null: bool = False,
        narrow: Callable[[int], Mapping[str, ModuleFactory]] | None = None,
    ) -> None:
        if not candidates:
            raise SpaceError("a Choice needs at least one candidate, e.g. Choice({'skip': nn.Identity})")
        for name, factory in candidates.items():
            _check_name(name)
            check_factory(factory, f"option {name!r} of a Choice")
        check_different(candidates)
        super().__init__({name: bound(factory) for name, factory in candidates.items()}, label)
        self.null = null
        self.narrow = None if narrow is None else bound(narrow)

    def decision(self, name: str, active_if: Condition) -> Decision:
        return Categorical(name, tuple(self.factories), active_if=active_if)

    def assemble(self, option: Option, branch_of: Callable[[str], nn.Module]) -> nn.Module:
        return branch_of(str(option))

    def run(self, option: Option, branch_of: BranchOf, *inputs: object) -> object:
        return branch_of(str(option))(*inputs)

    def mix(self, mixture: Mixture, branch_of: BranchOf, *inputs: object) -> Tensor:
        names = tuple(self.factories)
        candidates = cast(Sequence[Candidate], [branch_of(names[i]) for i in mixture.indices])
        if len(inputs) == 1 and isinstance(inputs[0], Tensor):
            return mixed(candidates, mixture.active_weights, inputs[0], current_call().memo)
        outputs = [cast(Callable[..., Tensor], candidate)(*inputs) for candidate in candidates]
        return reduced([mixture.weights[i] * y for i, y in zip(mixture.indices, outputs, strict=True)], "sum")

    def narrowed(self, k: int) -> "Choice":
        """Return the same choice with 1/k of the channels.

        Raises:
            SpaceError: if it has no ``narrow``, or that gives other options.
        """
        if self.narrow is None:
            raise SpaceError("partial channels need a Choice that says how to be narrow: Choice(..., narrow=...)")
        candidates = self.narrow(k)
        if list(candidates) != list(self.factories):
            raise SpaceError(f"narrow({k}) gives options {list(candidates)}, not {list(self.factories)}")
        return Choice(candidates, self.label, null=self.null)

    def extra_repr(self) -> str:
        """Return the options, which ``print(model)`` shows."""
        return ", ".join(self.factories)


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name or "/" in name or "." in name:
        raise SpaceError(f"an option of a Choice must be a name without '/' and '.', got {name!r}")
    if name == "training":  # Every module sets this attribute, so that a supernet could hold no branch of that name.
        raise SpaceError("an option of a Choice cannot be called 'training'")
