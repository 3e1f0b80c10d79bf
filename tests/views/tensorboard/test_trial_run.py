"""The run of a trial: its curve, live and in the end."""

from pathlib import Path

from tensorboard.plugins.hparams import api_pb2

from raynas.core.archive import Archive
from raynas.views.tensorboard import TensorBoardLog
from tests.views.tensorboard.logs import ACCURACY, SPACE, add, end, hparams_page, propose, report, scalars, write


def test_a_trial_has_a_curve_without_repetitions(tmp_path: Path) -> None:
    archive = Archive()
    propose(archive, "00001")
    for epoch in (1, 2, 3):
        report(archive, "00001", epoch, accuracy=epoch / 10, loss=1.0)
    for epoch in (3, 4):  # it went on from the checkpoint of epoch 2
        report(archive, "00001", epoch, accuracy=epoch / 10, loss=1.0)
    end(archive, "00001", 4, accuracy=0.4, loss=1.0, params=1e6)
    write(tmp_path, archive)
    run = tmp_path / "trials" / "00001"
    assert scalars(run, "trial/accuracy") == [(1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4)]
    assert scalars(run, "trial/params") == [(4, 1e6)]
    assert scalars(run, "trial/fidelity") == [(4, 4)]
    assert len(list(run.iterdir())) == 1


def test_a_running_trial_shows_before_it_ends(tmp_path: Path) -> None:
    archive = Archive()
    log = TensorBoardLog(tmp_path, SPACE)
    propose(archive, "00001")
    report(archive, "00001", 1, accuracy=0.1)
    log.update(archive, ACCURACY)
    assert not tmp_path.joinpath("trials").exists()  # a short trial gets its file in one go
    log._flush_at = 0.0
    log.update(archive, ACCURACY)
    run = tmp_path / "trials" / "00001"
    assert scalars(run, "trial/accuracy") == [(1, 0.1)]
    assert hparams_page(tmp_path)[1]["trials/00001"].sessions[0].status == api_pb2.STATUS_UNKNOWN
    end(archive, "00001", 2, accuracy=0.2)
    log.update(archive, ACCURACY)
    assert scalars(run, "trial/accuracy") == [(1, 0.1), (2, 0.2)]
    assert hparams_page(tmp_path)[1]["trials/00001"].sessions[0].status == api_pb2.STATUS_SUCCESS
    assert len(list(run.iterdir())) == 1


def test_a_trial_cannot_write_elsewhere(tmp_path: Path) -> None:
    archive = Archive()
    add(archive, "../../evil", accuracy=0.1)
    write(tmp_path / "logs", archive)
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]
    assert [path.name for path in (tmp_path / "logs" / "trials").iterdir()] == ["______evil"]
