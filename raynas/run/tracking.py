"""Trackers brought up to date when a search has ended."""

import logging
from collections.abc import Sequence

from raynas.core.result import SearchResult
from raynas.errors import one_line
from raynas.views.trackers import Tracker, track

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
            later = f"`raynas track {result.path}` writes what is missing"
            logger.warning("the runs in %s are incomplete; %s: %s", tracker.title, later, one_line(error))
