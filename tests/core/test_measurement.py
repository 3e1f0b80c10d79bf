"""A measured number is a float everywhere, and its provenance comes back from results, archives and checkpoints."""

import copy
import json
import pickle
from pathlib import Path

import pytest

from raynas.core.archive import Archive
from raynas.core.evaluation import metrics_of, notes_of
from raynas.core.measurement import PROVENANCE, Measured, Provenance, as_entry, as_float, from_entry, provenance_of
from raynas.core.result import SearchResult
from raynas.errors import ArchiveError
from raynas.metrics import read_goal
from raynas.testing import ToySpace
from raynas.trials.checkpoint import Checkpoint

ORIGIN = Provenance(facts={"backend": "eager", "n_threads": 2, "spread": 0.25}, doubt="the machine is busy")
VALUE = Measured(3.5, ORIGIN)


def test_it_is_a_float() -> None:
    assert VALUE == 3.5 and hash(VALUE) == hash(3.5) and f"{VALUE:.2f} {VALUE}" == "3.50 3.5"
    assert json.dumps({"latency_ms": VALUE}) == '{"latency_ms": 3.5}'
    assert type(VALUE + 1) is float
    assert as_float(VALUE) is VALUE and type(as_float(3)) is float


def test_copies_remember() -> None:
    for twin in (pickle.loads(pickle.dumps(VALUE)), copy.deepcopy(VALUE), copy.copy(VALUE)):
        assert twin == 3.5 and twin.provenance == ORIGIN


def test_facts_have_four_digits_and_unknown_ones_are_left_out() -> None:
    made = Provenance.of({"load": 0.123456, "n_runs": 123456, "device": "cpu", "waited": None}, "busy")
    assert made == Provenance(facts={"load": 0.1235, "n_runs": 123456, "device": "cpu"}, doubt="busy")


def test_it_is_reliable_without_a_doubt() -> None:
    assert Provenance().reliable and not ORIGIN.reliable


def test_a_result_of_tune_holds_it_as_text() -> None:
    result = {"latency_ms": 3.5, "accuracy": 0.5, "done": True, **as_entry({"latency_ms": VALUE, "accuracy": 0.5})}
    assert type(result[PROVENANCE]) is str
    metrics = metrics_of(result)
    assert metrics == {"latency_ms": 3.5, "accuracy": 0.5}
    assert provenance_of(metrics) == {"latency_ms": ORIGIN}
    assert notes_of(result) == {}
    assert as_entry({"accuracy": 0.5}) == {}


@pytest.mark.parametrize("entry", ["", "no JSON", "[1]", '{"latency_ms": 3}', 7])
def test_another_entry_of_that_name_is_no_provenance(entry: object) -> None:
    assert from_entry({PROVENANCE: entry}) == {}


def record(archive: Archive) -> None:
    archive.append("proposed", trial="1", config={"arch": {"layers.0": 0}}, costs={"latency_ms": VALUE, "params": 3.0})
    archive.append("result", trial="1", fidelity=1, metrics={"latency_ms": VALUE})
    ended = {"status": "finished", "fidelity": 1, "error": ""}
    archive.append("ended", trial="1", metrics={"latency_ms": VALUE, "accuracy": 0.5}, **ended)


def test_an_archive_keeps_it(tmp_path: Path) -> None:
    with_file = Archive(tmp_path / "archive.jsonl")
    record(with_file)
    with_file.close()
    lines = [json.loads(line) for line in (tmp_path / "archive.jsonl").read_text().splitlines()]
    assert [line.get("provenance", {}).keys() for line in lines] == [{"latency_ms"}, set(), {"latency_ms"}]
    for archive in (with_file, Archive.load(tmp_path / "archive.jsonl")):
        assert provenance_of(archive.events("proposed")[0]["costs"]) == {"latency_ms": ORIGIN}
        (evaluation,) = archive.evaluations
        assert evaluation.provenance == {"latency_ms": ORIGIN} and evaluation.metrics["latency_ms"] == 3.5
        archive.dump(tmp_path / "copy.jsonl")
        assert provenance_of(Archive.load(tmp_path / "copy.jsonl").evaluations[0].metrics) == {"latency_ms": ORIGIN}


def test_a_damaged_provenance_is_an_error(tmp_path: Path) -> None:
    line = {"event": "proposed", "trial": "1", "config": {"arch": {}}, "costs": {"latency_ms": 1.0}, "provenance": 3}
    (tmp_path / "archive.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(ArchiveError, match="line 1 is damaged"):
        Archive.load(tmp_path / "archive.jsonl")


def test_a_table_of_results_names_the_doubt(tmp_path: Path) -> None:
    archive = Archive()
    record(archive)
    result = SearchResult(space=ToySpace(), goal=read_goal(), archive=archive, path=tmp_path)
    frame = result.to_frame()
    assert frame["latency_ms"].dtype == float and frame["latency_ms"].tolist() == [3.5]
    assert frame["doubt/latency_ms"].tolist() == ["the machine is busy"]


def test_a_checkpoint_keeps_it(tmp_path: Path) -> None:
    arch = ToySpace().default
    Checkpoint(arch=arch, epoch=1, costs={"latency_ms": VALUE, "params": 3.0}).write(tmp_path)
    assert provenance_of(Checkpoint.read(tmp_path).costs) == {"latency_ms": ORIGIN}
    meta = json.loads((tmp_path / "meta.json").read_text())
    del meta["provenance"]  # as in those of earlier versions
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    assert Checkpoint.read(tmp_path).costs == {"latency_ms": 3.5, "params": 3.0}
