"""Progress of a search: a table that stays in place on a terminal, or lines in a log."""

from raynas.views.progress.display import LINE_SECONDS, ProgressCallback

__all__ = ["LINE_SECONDS", "ProgressCallback"]
