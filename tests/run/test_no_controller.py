from raynas.run.no_controller import NO_CONTROLLER


def test_nothing_runs() -> None:
    assert NO_CONTROLLER.get_live_trials() == set()
    assert NO_CONTROLLER.get_trials() == []
