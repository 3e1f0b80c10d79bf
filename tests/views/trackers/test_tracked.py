"""What trackers take from an archive."""

from raynas.core.measurement import Measured, Provenance
from raynas.views.trackers.tracked import TrackedTrials, facts_of
from tests.views.tensorboard.logs import ACCURACY, end, propose, report
from tests.views.trackers.searches import searched


def test_a_trial_has_its_decisions_its_curve_and_its_end() -> None:
    (first, progress), *_ = TrackedTrials().read(searched(), ACCURACY)
    assert first.name == "00001"
    assert (first.params["arch/kernel"], first.params["arch/skip"], first.params["lr"]) == (5, True, 0.01)
    assert first.points == (("accuracy", 1, 0.1), ("accuracy", 2, 0.2))
    assert first.status == "finished"
    assert progress == [("trials_ended", 1, 1.0), ("best_accuracy", 1, 0.2)]


def test_each_trial_is_given_once_and_again_when_it_was_measured_at_the_end() -> None:
    archive, trials = searched(), TrackedTrials()
    before = [trial for trial, _ in trials.read(archive, ACCURACY)]
    assert [t.name for t in before] == ["00001", "00002", "00003"]
    assert list(trials.read(archive, ACCURACY)) == []
    archive.append("measured", trial="00001", metrics={"latency_ms": 3.0}, error="")
    ((again, progress),) = trials.read(archive, ACCURACY)
    assert again.points[-1] == ("latency_ms", 2, 3.0)
    assert again.fingerprint != before[0].fingerprint
    assert progress == []


def test_a_report_that_a_resumed_trial_repeats_is_there_once() -> None:
    archive = searched(1)
    propose(archive, "00002")
    for epoch, accuracy in ((1, 0.3), (2, 0.4), (2, 0.4)):
        report(archive, "00002", epoch, accuracy=accuracy)
    end(archive, "00002", 2, accuracy=0.4)
    *_, (second, _) = TrackedTrials().read(archive, ACCURACY)
    assert second.points == (("accuracy", 1, 0.3), ("accuracy", 2, 0.4))


def test_a_doubtful_figure_comes_with_its_doubt() -> None:
    archive = searched(1)
    about = Provenance(facts={"backend": "eager"}, doubt="the machine was busy")
    propose(archive, "00002")
    end(archive, "00002", 1, latency_ms=Measured(3.0, about))
    *_, (second, _) = TrackedTrials().read(archive, ACCURACY)
    assert second.notes == {"doubt/latency_ms": "the machine was busy"}


def test_the_facts_are_those_of_the_last_session() -> None:
    facts = facts_of(searched())
    assert facts["objectives"] == "max:accuracy"
    assert "constraints" not in facts
    assert facts["seed"] == 0
