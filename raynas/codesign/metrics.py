"""accelerator_metrics(): what a network costs on an accelerator, as metrics of a search."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from raynas.codesign.accelerator import Accelerator
from raynas.codesign.cost_model import AcceleratorCost, cost_on
from raynas.codesign.products import MatrixProduct, products_of
from raynas.codesign.space import CodesignSpace
from raynas.core.architecture import Architecture
from raynas.core.extended_space import network_part
from raynas.core.metric import Candidate, Metric
from raynas.core.space import SearchSpace
from raynas.errors import SettingError

UNITS = {"cycles": "", "latency_ms": "ms", "energy_mj": "mJ", "area_mm2": "mm²"}
"""The costs, and their units."""

MAX_KNOWN = 100_000
"""Maximum number of networks whose products are remembered."""


def accelerator_metrics(accelerator: Accelerator | None = None) -> Sequence[Metric]:
    """Return the metrics of networks on an accelerator, by an analytical model: see ``raynas.codesign.cost_model``.

    They are ``accelerator_cycles``, ``accelerator_latency_ms``, ``accelerator_energy_mj`` and ``accelerator_area_mm2``,
    all for one example, and follow from shapes alone, so that a search knows them before a trial.

    Args:
        accelerator: the accelerator; None for that of each point of a ``CodesignSpace``.
    """
    known = KnownProducts()
    return [
        Metric(
            name=f"accelerator_{cost}",
            mode="min",
            unit=unit,
            title=f"acc. {cost.split('_')[0]}",
            measure=AcceleratorMeasure(cost=cost, accelerator=accelerator, known=known),
        )
        for cost, unit in UNITS.items()
    ]


class KnownProducts:
    """The matrix products of the networks that were traced; many points of a ``CodesignSpace`` share one."""

    def __init__(self) -> None:
        self._space: SearchSpace | None = None
        self._products: dict[Architecture, Sequence[MatrixProduct]] = {}

    def of(self, candidate: Candidate) -> Sequence[MatrixProduct]:
        """Return the products of a candidate's network."""
        if candidate.space is not self._space or len(self._products) >= MAX_KNOWN:
            self._space, self._products = candidate.space, {}
        network = network_part(candidate.space, candidate.arch)
        if network not in self._products:
            self._products[network] = products_of(candidate.model, candidate.example)
        return self._products[network]

    def __getstate__(self) -> dict[str, object]:
        return {"_space": None, "_products": {}}  # what was traced need not travel


@dataclass(frozen=True, kw_only=True)
class AcceleratorMeasure:
    """Measures a cost of a candidate; see ``accelerator_metrics``."""

    cost: str
    accelerator: Accelerator | None
    known: KnownProducts = field(repr=False, compare=False)

    def __call__(self, candidate: Candidate) -> float:
        """Return the cost of a network and its accelerator.

        Raises:
            SettingError: if the space has no accelerators, and none is given.
        """
        return float(getattr(self._cost_of(candidate), self.cost))

    def _cost_of(self, candidate: Candidate) -> AcceleratorCost:
        space, accelerator = candidate.space, self.accelerator
        if accelerator is None:
            if not isinstance(space, CodesignSpace):
                raise SettingError(
                    f"accelerator_{self.cost} needs an accelerator, and {space.name} decides none: search "
                    "CodesignSpace(space), or give accelerator_metrics(Accelerator(...))"
                )
            accelerator = space.accelerator(candidate.arch)
        return cost_on(self.known.of(candidate), accelerator)
