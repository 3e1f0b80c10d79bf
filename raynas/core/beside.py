"""beside(): the result of a search with what another search found as candidates."""

from dataclasses import replace

from raynas.core.evaluation import Evaluation
from raynas.core.result import SearchResult


def beside(result: SearchResult, other: SearchResult) -> SearchResult:
    """Return a result with the fully trained evaluations of another search among its candidates.

    Args:
        result: of the search.
        other: of a search of the same space, with the same goal, in a folder inside that of ``result``; its trials are
            then named with that folder. What both evaluated counts once.
    """
    known, folder = {_point(e) for e in result.full}, other.path.name
    new = (e for e in other.eligible if _point(e) not in known)
    return replace(result, also=tuple(replace(e, trial=f"{folder}/{e.trial}") for e in new))


def _point(evaluation: Evaluation) -> tuple[object, ...]:
    return evaluation.arch, repr(sorted(evaluation.hyperparameters.items()))
