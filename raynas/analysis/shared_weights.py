"""The training of weights that all networks of a space share: scores and weights of options after each epoch."""

from dataclasses import dataclass

from raynas.analysis.spending import Spending, spending
from raynas.core.archive import Archive


@dataclass(frozen=True, kw_only=True)
class OptionWeights:
    """Weights that a differentiable method gave to the options of a decision.

    Args:
        decision: its name.
        options: their names, in the order in which they appeared.
        weights: ``(n_epochs, n_options)``, in [0, 1]; None where an option did not compete.
    """

    decision: str
    options: tuple[str, ...]
    weights: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True, kw_only=True)
class SharedWeights:
    """The training of shared weights, one entry for each epoch.

    Args:
        epochs: their numbers.
        accuracy: of the networks that the method examined, with shared weights; None where it examined none.
        options: of the decisions; none unless the method is differentiable.
        spending: hours of devices.
    """

    epochs: tuple[int, ...]
    accuracy: tuple[float | None, ...]
    options: tuple[OptionWeights, ...]
    spending: Spending


def shared_weights(archive: Archive) -> SharedWeights:
    """Read the training of shared weights off its archive; of an epoch that was repeated, the last time counts."""
    reports = {r["fidelity"]: r for r in archive if r["event"] in ("result", "ended") and r["fidelity"]}
    epochs = sorted(reports)
    weights = [(reports[epoch].get("relaxed") or {}).get("weights", {}) for epoch in epochs]
    options: dict[str, dict[str, None]] = {}
    for by_decision in weights:
        for decision, named in by_decision.items():
            options.setdefault(decision, {}).update(dict.fromkeys(named))
    return SharedWeights(
        epochs=tuple(epochs),
        accuracy=tuple(reports[epoch]["metrics"].get("accuracy") for epoch in epochs),
        options=tuple(
            OptionWeights(
                decision=decision,
                options=tuple(named),
                weights=tuple(tuple(w.get(decision, {}).get(option) for option in named) for w in weights),
            )
            for decision, named in options.items()
        ),
        spending=spending(archive),
    )
