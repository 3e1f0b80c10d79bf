"""Heat maps of the weights in a differentiable search."""

from pathlib import Path

import msgspec

from raynas.core.archive import Archive
from raynas.core.evaluation import notes_of
from raynas.core.relaxed_weights import RELAXED, RelaxedWeights, relaxed_field
from raynas.views.tensorboard import TensorBoardLog
from raynas.views.tensorboard.weights import heat_maps
from tests.views.tensorboard.logs import ACCURACY, SPACE, end, propose, read, scalars

WEIGHTS = RelaxedWeights(
    epoch=2,
    weights={"normal.0.op": {"skip": 0.25, "conv": 0.75}, "normal.1.op": {"skip": 0.5, "conv": 0.5}, "mode": {"a": 1}},
    derived={"normal.0.op": "conv"},
)


def test_decisions_with_the_same_options_share_a_table() -> None:
    first, second = heat_maps(WEIGHTS)
    assert (first.title, first.rows, first.columns) == ("normal 0.op to 1.op", ["0.op", "1.op"], ("skip", "conv"))
    assert first.values == [[0.25, 0.75], [0.5, 0.5]] and first.marked == [(0, 1)]
    assert second.title == "mode"


def test_weights_travel_through_a_tune_result_and_an_archive(tmp_path: Path) -> None:
    result = {"accuracy": 1.0, **WEIGHTS.as_entry()}
    assert notes_of(result) == {} and relaxed_field({RELAXED: "nonsense"}) == relaxed_field({}) == {}
    archive = Archive(tmp_path / "archive.jsonl")
    propose(archive, "1")
    archive.append("result", trial="1", fidelity=2, metrics={}, **relaxed_field(result))
    archive.close()
    record = Archive.load(tmp_path / "archive.jsonl").events("result")[0]
    assert msgspec.convert(record["relaxed"], RelaxedWeights) == WEIGHTS


def test_weights_are_shown_while_the_only_trial_runs(tmp_path: Path) -> None:
    archive = Archive()
    log = TensorBoardLog(tmp_path, SPACE)
    propose(archive, "1")
    for epoch in (1, 2):
        relaxed = RelaxedWeights(epoch=epoch, weights=WEIGHTS.weights)
        archive.append("result", trial="1", fidelity=epoch, metrics={"accuracy": 0.1}, **relaxed.as_field())
        log._gallery._due = 0.0
        log.update(archive, ACCURACY)
    end(archive, "1", 2, accuracy=0.1, unforeseen=1.0)
    log.update(archive, ACCURACY)
    log.close(archive, ACCURACY)
    assert scalars(tmp_path / "search", "weight/normal.0.op/conv") == [(1, 0.75), (2, 0.75)]
    assert [image.step for image in read(tmp_path / "search").Images("weight/mode")] == [1, 2]
