"""Assembly: a choice for each block of a model, what it is predicted to be, and its network."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import nn

from raynas.compressing.assembling.alternatives import GIVEN
from raynas.compressing.assembling.space import AssemblySpace
from raynas.core.architecture import Architecture


@dataclass(frozen=True, eq=False)
class Assembly:
    """A choice for each block of a model.

    Args:
        arch: the choices, a member of the library's space.
        predicted: scores and costs as sums over the blocks, by name.
        counted: costs that were counted of the whole network, by name.
        objective: name of the score or cost by which it was chosen.
        predicted_loss: what is lost of the objective against the given model, as a sum over the blocks.
        space: of the library.
    """

    arch: Architecture
    predicted: Mapping[str, float]
    counted: Mapping[str, float]
    objective: str
    predicted_loss: float
    space: AssemblySpace = field(repr=False)

    @property
    def choices(self) -> dict[str, str]:
        """The alternatives by the paths of the blocks that they replace; blocks that stay are left out."""
        return {path: str(name) for path, name in self.arch.items() if name != GIVEN}

    @property
    def amounts(self) -> dict[str, float]:
        """Scores and costs by name: counted of the whole network where they follow from shapes, else predicted."""
        return {**self.predicted, **self.counted}

    @property
    def differences(self) -> dict[str, float]:
        """Counted costs less the predicted ones; not 0 where alternatives share something or change each other."""
        return {name: value - self.predicted[name] for name, value in self.counted.items()}

    def build(self) -> nn.Module:
        """Return the network, plain PyTorch with weights of the given model and the alternatives, in eval mode."""
        return self.space.build(self.arch).eval()

    def __str__(self) -> str:
        chosen = ", ".join(f"{path}: {name}" for path, name in self.choices.items()) or "the given model"
        amounts = ", ".join(f"{name} {value:.6g}" for name, value in self.amounts.items())
        return f"{amounts} ({chosen})"
