"""Tables and plots of the rows of ``search_quality.py``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def best_at(row: Mapping[str, Any], budget: int) -> float:
    """Return the best of a search after so many evaluations; of all, if it ended before."""
    best: Sequence[float] = row["best"]
    return best[min(budget, len(best)) - 1]


def by_strategy(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, Mapping[str, Any]]]:
    """Return the rows of each strategy by seed."""
    found: dict[str, dict[int, Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["strategy"], {})[row["seed"]] = row
    return found


def summary(rows: Sequence[Mapping[str, Any]], budgets: Sequence[int], optimum: float) -> pd.DataFrame:
    """Return a line for each strategy, with what each budget gives.

    That is the mean best value and its standard error, the share of seeds at the optimum, and how far it is above the
    first strategy: the mean difference, seed by seed, and its standard error.
    """
    of_all = by_strategy(rows)
    first = next(iter(of_all.values()))
    lines = []
    for name, own in of_all.items():
        line: dict[str, Any] = {"strategy": name, "seeds": len(own), "ms": np.mean([row["ms"] for row in own.values()])}
        for budget in budgets:
            values = {seed: best_at(row, budget) for seed, row in own.items()}
            reference = {seed: best_at(row, budget) for seed, row in first.items()}
            found = np.array(list(values.values()))
            line |= {f"best@{budget}": found.mean(), f"error@{budget}": standard_error(found)}
            line[f"optimum@{budget}"] = (found >= optimum - 1e-3).mean()
            line |= difference(values, reference, budget)
        lines.append(line)
    told: pd.DataFrame = pd.DataFrame(lines)
    return told


def difference(values: Mapping[int, float], reference: Mapping[int, float], budget: object) -> dict[str, float]:
    """Return the mean difference to others of the same seeds, and its standard error."""
    gaps = np.array([value - reference[seed] for seed, value in values.items() if seed in reference])
    mean = float(gaps.mean()) if len(gaps) else float("nan")
    return {f"gap@{budget}": mean, f"gap_error@{budget}": standard_error(gaps)}


def stopping_summary(rows: Sequence[Mapping[str, Any]], budgets: Sequence[int], share: float = 0.25) -> pd.DataFrame:
    """Return the results of schedulers against training so many networks in full, the first strategy.

    Twice: with as many trials, and the share of epochs that they took; and with a share of its epochs, and the number
    of trials that they came to. Only trials that were trained to their end count, the others' value is not known.
    """
    of_all = by_strategy(rows)
    first = next(iter(of_all.values()))
    lines = []
    for name, own in of_all.items():
        line: dict[str, Any] = {"strategy": name, "seeds": len(own)}
        for budget in budgets:
            reference = {seed: best_at(row, budget) for seed, row in first.items()}
            trials = {seed: trials_within(row, share * budget) for seed, row in own.items()}
            equal = {seed: best_at(row, budget) for seed, row in own.items()}
            cheap = {seed: best_at(row, trials[seed]) if trials[seed] else np.nan for seed, row in own.items()}
            line[f"epochs@{budget}"] = np.mean([row["trained"][budget - 1] / budget for row in own.values()])
            line[f"trials@{budget}"] = np.mean(list(trials.values()))
            line[f"best@{budget}"] = np.mean(list(equal.values()))
            line[f"cheap@{budget}"] = np.mean(list(cheap.values()))
            line |= difference(equal, reference, budget) | difference(cheap, reference, f"cheap@{budget}")
        lines.append(line)
    told: pd.DataFrame = pd.DataFrame(lines)
    return told


def trials_within(row: Mapping[str, Any], full_trainings: float) -> int:
    """Return the number of trials that had ended after the epochs of so many trainings in full."""
    return int(np.searchsorted(row["trained"], full_trainings + 1e-9, side="right"))


def standard_error(values: NDArray[np.float64]) -> float:
    """Return the standard error of the mean; NaN for fewer than two values."""
    return float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else float("nan")


def markdown(table: pd.DataFrame, budgets: Sequence[int], *, compares: bool = False) -> str:
    """Return a summary: mean ± standard error (share of seeds at the optimum).

    Args:
        table: from ``summary``.
        budgets: as there.
        compares: whether to say how far each is from the first strategy.
    """
    first = table["strategy"].iloc[0]
    head = ["strategy", "seeds", *(f"after {budget}" for budget in budgets), "ms per trial"]
    head += [f"against {first} after {budget}" for budget in budgets] if compares else []
    lines = []
    for _, row in table.iterrows():
        cells = [
            f"{row[f'best@{b}']:.3f} ± {row[f'error@{b}']:.3f} ({100 * row[f'optimum@{b}']:.0f} %)" for b in budgets
        ]
        cells.append(f"{row['ms']:.1f}")
        cells += [verdict(row[f"gap@{b}"], row[f"gap_error@{b}"]) for b in budgets] if compares else []
        lines.append([row["strategy"], str(row["seeds"]), *cells])
    return _table(head, lines)


def stopping_markdown(table: pd.DataFrame, budgets: Sequence[int]) -> str:
    """Return a summary of schedulers, see ``stopping_summary``: a line for each, and for each budget."""
    first = table["strategy"].iloc[0]
    head = ["strategy", "seeds", "trials", "best", "share of epochs", f"against {first}"]
    head += ["with a quarter of the epochs: best", "trials then", f"against {first} with all"]
    lines = []
    for budget in budgets:
        for _, row in table.iterrows():
            gap, cheap = (verdict(row[f"gap@{b}"], row[f"gap_error@{b}"]) for b in (budget, f"cheap@{budget}"))
            equal = [f"{row[f'best@{budget}']:.3f}", f"{row[f'epochs@{budget}']:.3f}", gap]
            quarter = [f"{row[f'cheap@{budget}']:.3f}", f"{row[f'trials@{budget}']:.0f}", cheap]
            lines.append([row["strategy"], str(row["seeds"]), str(budget), *equal, *quarter])
    return _table(head, lines)


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, ["---"] * len(head), *lines))


def verdict(gap: float, error: float) -> str:
    """Return whether a mean difference is significant: more than three standard errors from 0."""
    if not error > 0:
        return "the same" if gap == 0 else "unknown"
    word = ("better" if gap > 0 else "worse") if abs(gap) > 3 * error else "no difference"
    return f"{gap:+.3f} ± {error:.3f}, {word}"


def plot(rows: Sequence[Mapping[str, Any]], path: Path, optimum: float) -> None:
    """Plot the mean of the best value so far, with a band of one standard error."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    lowest = optimum
    for name in dict.fromkeys(row["strategy"] for row in rows):
        curves = [row["best"] for row in rows if row["strategy"] == name]
        length = max(map(len, curves))
        values = np.array([curve + [curve[-1]] * (length - len(curve)) for curve in curves])
        mean, error = np.nanmean(values, axis=0), np.nanstd(values, axis=0) / len(values) ** 0.5
        lowest = min(lowest, mean[min(5, length) - 1])
        x = np.arange(1, length + 1)
        axes.plot(x, mean, label=name)
        axes.fill_between(x, mean - error, mean + error, alpha=0.2)
    axes.axhline(optimum, color="grey", linestyle=":", label="optimum")
    margin = 0.05 * (optimum - lowest) or 0.1
    axes.set(xlabel="evaluations", ylabel="best so far", xscale="log", ylim=(lowest, optimum + margin))
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
