"""Trackers brought up to date when a search has ended."""

import logging
from collections.abc import Sequence

from raynas.core.result import SearchResult
from raynas.errors import one_line
from raynas.views.trackers import Tracker, track, what_is_missing

logger = logging.getLogger(__name__)


def track_all(result: SearchResult, trackers: Sequence[Tracker]) -> None:
    """Write what trackers lack; what goes wrong costs a warning, not the result.

    Args:
        result: of a search.
        trackers: their settings.
    """
    for tracker in trackers:
        try:
            track(result, tracker)
        except Exception as error:
            logger.warning("%s: %s", what_is_missing(tracker, result.path), one_line(error))
