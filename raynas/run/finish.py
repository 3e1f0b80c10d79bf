"""finish(): the last stage of a search, on the best that it found."""

import logging

from raynas.core.result import SearchResult
from raynas.errors import one_line
from raynas.run.final_measurement import measure_at_end
from raynas.run.repeats import repeat_best
from raynas.run.run_settings import RunSettings
from raynas.trials.settings import TrialSettings
from raynas.views.tensorboard import add_measured

logger = logging.getLogger(__name__)


def finish(result: SearchResult, settings: TrialSettings, run: RunSettings) -> None:
    """Measure the best of a search that has ended, and train them again, as far as that was asked for.

    Args:
        result: of the search; its archive is open.
        settings: the way of scoring.
        run: says what is trained again, and how many trainings run at a time.
    """
    measure_at_end(result, settings)
    if run.repeats:
        workers, max_seconds = run.max_concurrent, run.max_trial_seconds
        repeat_best(result, settings, run.repeats, workers=workers, max_seconds=max_seconds)
        measure_at_end(result, settings)  # another may be the winner now
    if run.tensorboard:
        try:
            add_measured(result.path / "tensorboard", result.evaluations, result.goal)
        except Exception as error:  # the view must not cost the result
            logger.warning("TensorBoard lacks what was measured at the end: %s", one_line(error))
