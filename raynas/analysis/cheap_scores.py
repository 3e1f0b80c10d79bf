"""The worth of every cheap score: its rank correlation with the score after the whole training.

Only trials that have both count, so trials that early stopping ended are missing: those left were chosen by the cheap
score itself, which makes its correlation smaller than over all architectures.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from raynas.analysis.rank_correlation import RankCorrelation, rank_correlation
from raynas.analysis.shown_metrics import known_metrics
from raynas.core.architecture import Architecture
from raynas.core.archive import Archive, Record
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal, Objective
from raynas.core.metric import Metric
from raynas.metrics import ZERO_COST

Kind = Literal["fidelity", "zero-cost", "stage", "predicted"]
"""Origin of a cheap score: less training, no training, an earlier stage of a funnel (such as inherited weights), or a
prediction of a measurement."""

MAX_FIDELITIES = 12
"""Maximum number of fidelities that are compared with the last."""

Pair = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class CheapScore:
    """A cheap score and the score that it replaces in the search.

    Args:
        name: of the cheap score, such as "accuracy after 3 of 9 epochs".
        kind: its origin.
        against: the score that it is compared with.
        fidelity: epochs of training behind the cheap score; 0 where there is none.
        trials: names of those that have both.
        pairs: the two scores of each, as they were reported.
        correlation: of the two, positive if the cheap score ranks as the other does.
    """

    name: str
    kind: Kind
    against: str
    fidelity: int = 0
    trials: tuple[str, ...]
    pairs: tuple[Pair, ...]
    correlation: RankCorrelation


def cheap_scores(
    archive: Archive, goal: Goal, *, stages: Mapping[str, Mapping[Architecture, float]] | None = None
) -> list[CheapScore]:
    """Compare every cheap score with the first objective of the trials that finished, or with a later measurement.

    Args:
        archive: of the search.
        goal: of the search.
        stages: scores of architectures in earlier searches, larger is better, by the name of the search: the stages of
            a funnel, or scores with inherited weights.
    """
    finished = {e.trial: e for e in archive.evaluations if e.status == "finished" and goal.first.metric in e.metrics}
    found = [
        *_fidelities(archive, finished, goal.first),
        *_zero_cost(archive.events("scored"), finished, goal),
        *(_stage(name, scores, finished, goal.first) for name, scores in (stages or {}).items()),
        *predictions(archive.evaluations, goal),
    ]
    return [score for score in found if score.pairs]


def predictions(evaluations: Iterable[Evaluation], goal: Goal) -> list[CheapScore]:
    """Compare predicted values with those measured at the end of the search, for each metric that has both.

    Args:
        evaluations: of the search.
        goal: says which metrics are predicted in the search: those whose final measurement is another.
    """
    evaluations = [e for e in evaluations if e.measured_first]
    known = known_metrics(goal)
    names = dict.fromkeys(chain.from_iterable(e.measured_first for e in evaluations))
    found = []
    for name in names:
        pairs = {
            e.trial: (float(e.measured_first[name]), float(e.metrics[name])) for e in evaluations if name in e.first
        }
        before = "predicted" if _is_predicted(name, known) else "in the search"
        found.append(_score(f"{name} {before}", "predicted", f"{name} measured at the end", pairs))
    return found


def _is_predicted(name: str, known: Mapping[str, Metric]) -> bool:
    return name in known and isinstance(known[name].final, Metric)


def _fidelities(archive: Archive, finished: Mapping[str, Evaluation], objective: Objective) -> list[CheapScore]:
    """Compare scores after a part of the training with those after all of it."""
    last = max((e.fidelity for e in finished.values()), default=0)
    scores: dict[int, dict[str, float]] = {}
    for record in archive.events("result"):
        trial, fidelity = record["trial"], record["fidelity"]
        if fidelity < last and trial in finished and objective.metric in record["metrics"]:
            scores.setdefault(fidelity, {})[trial] = float(record["metrics"][objective.metric])
    metric = objective.metric
    return [
        _score(
            f"{metric} after {fidelity} of {last} epochs",
            "fidelity",
            f"{metric} after {last} epochs",
            {trial: (value, float(finished[trial].metrics[metric])) for trial, value in scores[fidelity].items()},
            fidelity=fidelity,
        )
        for fidelity in _some(sorted(scores))
    ]


def _some(fidelities: Sequence[int]) -> list[int]:
    """Return fidelities at about equal ratios, all if there are few."""
    if len(fidelities) <= MAX_FIDELITIES:
        return list(fidelities)
    ratio = len(fidelities) ** (1 / (MAX_FIDELITIES - 1))
    return [fidelities[i] for i in sorted({round(ratio**k) - 1 for k in range(MAX_FIDELITIES)})]


def _zero_cost(scored: Iterable[Record], finished: Mapping[str, Evaluation], goal: Goal) -> list[CheapScore]:
    """Compare scores without training; for objectives that are minimised, a smaller final value counts as better."""
    first = goal.first
    known: dict[Architecture, Mapping[str, float | None]] = {}
    for record in scored:
        known[Architecture(record["config"]["arch"])] = record["scores"]
    pairs: dict[str, dict[str, Pair]] = {}
    for trial, e in finished.items():
        for name, value in {**known.get(e.arch, {}), **e.metrics}.items():
            if (name in ZERO_COST or name in known.get(e.arch, {})) and value is not None and name != first.metric:
                pairs.setdefault(name, {})[trial] = (float(value), float(e.metrics[first.metric]))
    return [_score(name, "zero-cost", first.metric, found, sign=first.sign) for name, found in pairs.items()]


def _stage(
    name: str, scores: Mapping[Architecture, float], finished: Mapping[str, Evaluation], objective: Objective
) -> CheapScore:
    metric = objective.metric
    pairs = {
        trial: (float(scores[e.arch]), float(e.metrics[metric])) for trial, e in finished.items() if e.arch in scores
    }
    return _score(f"score in {name}", "stage", metric, pairs, sign=objective.sign)


def _score(
    name: str, kind: Kind, against: str, pairs: Mapping[str, Pair], *, fidelity: int = 0, sign: int = 1
) -> CheapScore:
    first, last = [pair[0] for pair in pairs.values()], [sign * pair[1] for pair in pairs.values()]
    return CheapScore(
        name=name,
        kind=kind,
        against=against,
        fidelity=fidelity,
        trials=tuple(pairs),
        pairs=tuple(pairs.values()),
        correlation=rank_correlation(first, last),
    )
