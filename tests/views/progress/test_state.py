"""The state of a search: time left, and the best so far."""

from raynas.core.archive import Archive
from raynas.core.goal import Goal
from raynas.views.progress.display import HINT
from raynas.views.progress.state import SearchState
from tests.views.progress.searches import add, end, propose, text_of


def test_time_left_goes_by_this_session_alone() -> None:
    archive = Archive()
    for i in range(5):
        add(archive, str(i), accuracy=0.5)
    seconds = [100.0]
    shown = SearchState(archive, 10, clock=lambda: seconds[0])
    assert "left" not in text_of(shown)
    assert "5 ended in earlier sessions" in text_of(shown)
    add(archive, "5", accuracy=0.5)
    shown.update(archive)
    seconds[0] = 107.0
    assert "6/10 in 7 s, about 28 s left" in text_of(shown)


def test_at_the_end_there_is_nothing_left_to_wait_for() -> None:
    archive = Archive()
    shown = SearchState(archive, 1)
    add(archive, "1", accuracy=0.5)
    shown.update(archive)
    assert "left" not in text_of(shown)
    assert HINT not in text_of(shown)


def test_the_best_is_trained_to_its_end_and_meets_the_constraints() -> None:
    archive = Archive()
    shown = SearchState(archive, 10)
    add(archive, "1", status="stopped", accuracy=0.9, params=1.0)
    add(archive, "2", accuracy=0.8, params=9.0)
    shown.update(archive)
    goal = Goal.parse("accuracy", "params <= 5")
    assert "nothing yet" in text_of(shown, goal)
    add(archive, "3", accuracy=0.7, params=1.0)
    shown.update(archive)
    assert "3: accuracy 0.7" in text_of(shown, goal)
    # A relative constraint that is resolved along the way changes the goal, and with it what was best.
    assert "2: accuracy 0.8" in text_of(shown, Goal.parse("accuracy", "params <= 50"))


def searching(seconds: list[float], n_finished: int) -> tuple[Archive, SearchState]:
    """A search whose finished trials took a minute each, while another runs since its beginning."""
    archive = Archive()
    shown = SearchState(archive, 10, clock=lambda: seconds[0])
    propose(archive, "long")
    for i in range(n_finished):
        propose(archive, str(i))
        shown.update(archive)
        seconds[0] += 60
        end(archive, str(i), accuracy=0.5)
        shown.update(archive)
    return archive, shown


def test_a_trial_that_takes_far_longer_than_others_is_marked() -> None:
    seconds = [0.0]
    _, shown = searching(seconds, 3)
    assert shown.slow == {} and "usual" not in text_of(shown)
    seconds[0] = 420.0
    assert shown.slow == {"long": 7.0}
    assert "7 m 00 s (7x the usual)" in text_of(shown) and "max_trial_seconds" in text_of(shown)


def test_few_or_short_trials_say_nothing_about_others() -> None:
    seconds = [0.0]
    _, shown = searching(seconds, 2)
    seconds[0] = 10000.0
    assert shown.slow == {}
    archive = Archive()
    quick = SearchState(archive, 10, clock=lambda: seconds[0])
    for i in range(5):
        add(archive, str(i), accuracy=0.5)
    propose(archive, "next")
    quick.update(archive)
    seconds[0] += 9
    assert quick.slow == {}  # a hundred times as long, but what are nine seconds?
    seconds[0] += 2
    assert quick.slow.keys() == {"next"}
