"""CodesignSpace: the networks of a search space, and the accelerators that they run on, searched as one."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

from raynas.codesign.accelerator import SYSTOLIC, Accelerator
from raynas.core.architecture import Architecture, Option
from raynas.core.decision import Categorical, Decision
from raynas.core.decision_space import DecisionSpace
from raynas.core.extended_space import ExtendedSpace
from raynas.core.space import SearchSpace

PREFIX = "accelerator."
"""The beginning of the names of the decisions."""


@dataclass(frozen=True, kw_only=True)
class AcceleratorSpace(DecisionSpace):
    """The accelerators to choose from: the options of each field of ``Accelerator``; the first are the default ones.

    Args:
        rows: numbers of rows of the array.
        cols: numbers of columns.
        input_kb: sizes of the buffer of inputs, in kB.
        weight_kb: sizes of the buffer of weights.
        output_kb: sizes of the buffer of outputs.
        dataflow: names of dataflows; by default those of a systolic array. ``"row_stationary"`` needs registers in
            every processing element, and is offered where it is named.
        bits: of inputs and weights. Fewer bits are always cheaper here, so offer several only to a trainable that reads
            ``config["arch"]["accelerator.bits"]`` and reports the accuracy of the quantised network.
        clock_mhz: clock of all of them.
        dram_gb_per_s: bandwidth of the memory outside, for all of them.

    Raises:
        SettingError: if an option is out of its range.
        SpaceError: if options are equal, or there are none.
        UnknownNameError: if there is no such dataflow.
    """

    rows: Sequence[int] = (16, 8, 32, 64)
    cols: Sequence[int] = (16, 8, 32, 64)
    input_kb: Sequence[int] = (64, 8, 16, 32, 128, 256)
    weight_kb: Sequence[int] = (64, 8, 16, 32, 128, 256)
    output_kb: Sequence[int] = (64, 8, 16, 32, 128, 256)
    dataflow: Sequence[str] = tuple(SYSTOLIC)
    bits: Sequence[int] = (8,)
    clock_mhz: float = Accelerator.clock_mhz
    dram_gb_per_s: float = Accelerator.dram_gb_per_s

    CONSTANT: ClassVar[tuple[str, ...]] = ("clock_mhz", "dram_gb_per_s")

    def __post_init__(self) -> None:
        for decision in self.decisions:
            for option in decision.options:
                self.accelerator({**self.default, decision.name: option})

    @property
    def decisions(self) -> Sequence[Decision]:
        names = [field.name for field in fields(self) if field.name not in self.CONSTANT]
        return [Categorical(f"{PREFIX}{name}", tuple(getattr(self, name))) for name in names]

    def accelerator(self, arch: Mapping[str, Option]) -> Accelerator:
        """Return the accelerator in a point, which may hold other decisions too."""
        chosen = {d.name.removeprefix(PREFIX): arch[d.name] for d in self.decisions}
        constant = {name: getattr(self, name) for name in self.CONSTANT}
        return Accelerator(**chosen, **constant)  # type: ignore[arg-type]


class CodesignSpace(ExtendedSpace):
    """The decisions of a space, and those of an accelerator: a point is a network and what it runs on.

    Every strategy searches both at once, with the metrics of ``accelerator_metrics`` as objectives and constraints::

        space = CodesignSpace(MobileNetV3())
        raynas.search(
            space,
            Training(data="folder:photos"),
            metrics=accelerator_metrics(),
            objectives=["accuracy", "accelerator_latency_ms", "accelerator_energy_mj"],
            constraints="accelerator_area_mm2 <= 1.0",
        )

    Args:
        space: the networks.
        accelerators: the accelerators.
    """

    GROUP = "accelerator"

    def __init__(self, space: SearchSpace, accelerators: AcceleratorSpace | None = None) -> None:
        super().__init__(space)
        self.accelerators = accelerators or AcceleratorSpace()

    @property
    def own_decisions(self) -> Sequence[Decision]:
        return self.accelerators.decisions

    @property
    def name(self) -> str:
        return f"{self.space.name}-accelerator"

    def around(self, space: SearchSpace) -> "CodesignSpace":
        return CodesignSpace(space, self.accelerators)

    @property
    def fingerprint(self) -> str:
        # Clock and bandwidth are no decisions.
        text = f"{super().fingerprint} {self.accelerators!r}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def accelerator(self, arch: Mapping[str, Option]) -> Accelerator:
        """Return the accelerator in a point."""
        return self.accelerators.accelerator(arch)

    def pair(self, network: Mapping[str, Option], accelerator: Mapping[str, Option] | None = None) -> Architecture:
        """Return the point of a network and an accelerator.

        Args:
            network: of the space inside.
            accelerator: of the accelerators; None for the default one.

        Raises:
            SpaceError: if one is not a member of its space.
        """
        return self.canonical({**network, **(accelerator or self.accelerators.default)})
