"""record_each(): the outcomes of what is done with the best of a search at its end, each recorded when it is known."""

import logging
from collections.abc import Iterable, Mapping

from raynas.core.result import SearchResult
from raynas.errors import one_line

logger = logging.getLogger(__name__)


def record_each(result: SearchResult, event: str, outcomes: Iterable[Mapping[str, object]]) -> bool:
    """Record outcomes as they come, so that a killed session continues after the last; return whether all came.

    A failure costs a warning, not the result; the next session tries again.

    Args:
        result: of the search that has ended; its archive is open.
        event: the kind of record, which says what was done: "measured" or "repeated".
        outcomes: fields of the records, "trial" and "error" among them.
    """
    try:
        for outcome in outcomes:
            result.archive.append(event, **outcome)
            if outcome["error"]:
                logger.warning("trial %s could not be %s at the end: %s", outcome["trial"], event, outcome["error"])
    except Exception as error:
        logger.warning("the winner was not %s at the end: %s; the same call tries again", event, one_line(error))
        return False
    return True
