"""The weights of options in a differentiable search: heat maps and curves."""

from collections.abc import Mapping

from raynas.core.relaxed_weights import RelaxedWeights
from raynas.views.tensorboard.figures import HeatMap, heat_map
from raynas.views.tensorboard.pictures import Shown

MAX_ROWS = 20
"""Number of decisions in a heat map."""

MAX_CURVES = 400
"""Number of curves of weights; larger searches have heat maps alone."""


def weights_shown(relaxed: RelaxedWeights) -> Mapping[str, Shown]:
    """Return a heat map for decisions of one part of the network with the same options, and a curve for each weight."""
    shown: dict[str, Shown] = {f"weight/{table.title}": heat_map(table) for table in heat_maps(relaxed)}
    if sum(map(len, relaxed.weights.values())) <= MAX_CURVES:
        for decision, weights in relaxed.weights.items():
            shown |= {f"weight/{decision}/{option}": float(weight) for option, weight in weights.items()}
    return shown


def heat_maps(relaxed: RelaxedWeights) -> list[HeatMap]:
    """Return the tables; a frame marks the option of the architecture that would be derived now."""
    parts: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for decision, weights in relaxed.weights.items():
        parts.setdefault((decision.partition(".")[0], tuple(weights)), []).append(decision)
    return [
        _table(relaxed, prefix, options, decisions[start : start + MAX_ROWS])
        for (prefix, options), decisions in parts.items()
        for start in range(0, len(decisions), MAX_ROWS)
    ]


def _table(relaxed: RelaxedWeights, prefix: str, options: tuple[str, ...], decisions: list[str]) -> HeatMap:
    rows = [decision.removeprefix(f"{prefix}.") for decision in decisions]
    chosen = [(i, _chosen(relaxed.derived.get(decision))) for i, decision in enumerate(decisions)]
    values = [list(relaxed.weights[decision].values()) for decision in decisions]
    first = rows[0] if len(rows) == 1 else f"{rows[0]} to {rows[-1]}"
    return HeatMap(
        title=f"{prefix} {first}" if "." in decisions[0] else first,
        rows=rows,
        columns=options,
        values=values,
        span=(min(map(min, values)), max(map(max, values))),
        marked=[(i, j) for i, names in chosen for j, option in enumerate(options) if option in names],
    )


def _chosen(option: object) -> list[str]:
    """Return the names of the options that a decision takes: several inputs are joined by "+"."""
    return [] if option is None else [str(option), *str(option).split("+")]
