"""Libraries of blocks: made, continued, and assembled."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

import raynas
from raynas.compressing.assembling import BlockLibrary, Custom, block_library
from raynas.core.inputs import TensorSpec
from raynas.core.metric import Candidate, Metric
from raynas.data import loaders
from raynas.errors import ArchiveError, InfeasibleError, SettingError, UnknownNameError
from raynas.metrics import count_macs, count_params
from raynas.trials import Distillation
from tests.compressing.assembling.nets import Gpt, resnet, vit

FAST = Distillation(data="digits", epochs=1, data_fraction=0.2, device="cpu")
IMAGES = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
ALTERNATIVES = ("width:0.5", "heads:0.5", "kernel:3", "linear", "skip")


def library(path: Path, alternatives: tuple[str | Custom, ...] = ALTERNATIVES, **options: object) -> BlockLibrary:
    return block_library(vit(), IMAGES, FAST, path, alternatives=alternatives, workers=0, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> BlockLibrary:
    return library(tmp_path_factory.mktemp("library"))


def contents(folder: Path) -> dict[str, object]:
    """Return what a library holds, but for the seconds that it took."""
    found: dict[str, object] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix == ".json" and file.name != "library.json":
            found[file.name] = {**json.loads(file.read_text()), "seconds": 0}
        elif file.is_file():
            found[file.name] = file.read_bytes()
    return found


def test_training_brings_alternatives_nearer_to_their_blocks(made: BlockLibrary) -> None:
    for records in made.records.values():
        assert records["kernel:3"].refused == "kernels cannot be reduced: there are none"
        assert records["width:0.5"].error < records["width:0.5"].start_error
        assert records["skip"].error == records["skip"].start_error > records["linear"].error
    assert made.given.scores["divergence"] == 0 and made.given.scores["agreement"] == 1
    assert made.options == {path: ["width:0.5", "heads:0.5", "linear", "skip"] for path in ("blocks.0", "blocks.1")}


def test_costs_add_up_to_those_of_the_built_network(made: BlockLibrary) -> None:
    (first, second) = made.assemble("macs <= 0.5 * baseline", "params < 10k", n=2)
    network = first.build()
    assert first.differences == {"params": 0, "macs": 0}
    assert count_params(network) == first.amounts["params"] < 10_000
    assert count_macs(network, IMAGES) == first.amounts["macs"] <= made.given.costs["macs"] / 2
    assert first.predicted_loss <= second.predicted_loss and first.choices != second.choices
    assert not network.training and "linear" in str(first)


def test_a_single_replacement_scores_as_its_record_says(made: BlockLibrary) -> None:
    (found,) = made.assemble("params >= 1", objective="params", n=1)
    assert found.choices == {"blocks.0": "skip", "blocks.1": "skip"}
    single = next(each for each in made.assemble(n=25) if each.choices == {"blocks.1": "linear"})
    assert made.scored(single)["divergence"] == pytest.approx(made.records["blocks.1"]["linear"].scores["divergence"])
    assert single.predicted["divergence"] == pytest.approx(made.records["blocks.1"]["linear"].scores["divergence"])


def test_the_best_of_several_is_that_which_scores_best(made: BlockLibrary) -> None:
    found = made.assemble("macs <= 0.6 * baseline", n=4)
    for objective, best in (("divergence", min), ("agreement", max)):
        assembly, scores = made.best_of(found, objective)
        assert scores[objective] == best(made.scored(each)[objective] for each in found)
        assert made.scored(assembly) == scores
    with pytest.raises(UnknownNameError, match="unknown score 'macs'"):
        made.best_of(found, "macs")


def test_all_assemblies_are_members_of_a_space(made: BlockLibrary) -> None:
    assert made.space.size == 25 and made.space.natural_baseline == made.space.default
    with torch.no_grad():
        assert torch.equal(made.space.build(made.space.default).eval()(IMAGES), made.model.eval()(IMAGES))


def test_limits_that_cannot_be_met_or_read_are_refused(made: BlockLibrary) -> None:
    with pytest.raises(InfeasibleError, match="'params <= 100' cannot be met: the smallest params of any assembly is"):
        made.assemble("params <= 100")
    with pytest.raises(UnknownNameError, match="unknown score or cost of blocks 'latency_ms'"):
        made.assemble("latency_ms <= 100")
    with pytest.raises(SettingError, match="n must be a whole number of at least 1, got 0"):
        made.assemble(n=0)


def test_the_table_names_losses_and_reasons(made: BlockLibrary) -> None:
    text = str(made)
    assert "blocks.1 has no kernel:3: kernels cannot be reduced: there are none" in text
    assert text.splitlines()[0].split()[:4] == ["block", "alternative", "error", "divergence"]


def test_an_interrupted_library_becomes_the_uninterrupted_one(made: BlockLibrary, tmp_path: Path) -> None:
    def stop(line: str) -> None:
        if "blocks.0" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        library(tmp_path, on_progress=stop)
    before = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    assert not any(file.name.startswith("0001") for file in before)
    (tmp_path / "0000-linear.json").unlink()  # as after a kill between two files
    lines: list[str] = []
    library(tmp_path, on_progress=lines.append)
    assert contents(tmp_path) == contents(made.folder.path)
    assert len(lines) == 2 and lines[0].startswith("1/2 blocks.0: linear divergence")
    kept = [file for file in before if not file.name.startswith("0000-linear")]
    assert all(file.stat().st_mtime_ns == before[file] for file in kept)


def test_what_is_asked_for_later_is_added_as_if_it_had_been_at_once(made: BlockLibrary, tmp_path: Path) -> None:
    library(tmp_path, ("skip", "heads:0.5"), metrics=("params",))
    later = library(tmp_path)
    assert contents(tmp_path) == contents(made.folder.path)
    assert later.assemble("macs <= 1e5")[0].choices == made.assemble("macs <= 1e5")[0].choices


def test_costs_of_a_device_are_measured_of_each_block_alone(made: BlockLibrary) -> None:
    seen: list[str] = []

    def layers(candidate: Candidate) -> float:
        seen.append(type(candidate.model).__name__)
        candidate.example(3)  # what the block gets in the model
        return float(sum(not list(module.children()) for module in candidate.model.modules()))

    metric = Metric(name="layers", mode="min", measure=layers, needs="device")
    timed = library(made.folder.path, metrics=("params", "macs", metric))
    assert timed.records["blocks.0"]["skip"].costs["layers"] == 1 - 7
    assert seen == ["ViT", *["Block", "Block", "Block", "Linear", "Identity"] * 2]
    (found,) = timed.assemble("layers <= 0.8 * baseline", n=1)
    assert found.predicted["layers"] <= 0.8 * timed.given.costs["layers"]
    assert timed.measured(found)["layers"] == found.predicted["layers"]
    assert len(seen) == 12 and library(made.folder.path, metrics=(metric,)).given.costs["layers"] == 16


def test_another_model_and_a_damaged_file_are_refused(made: BlockLibrary, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="holds a library of blocks with another"):
        block_library(vit(3), IMAGES, FAST, made.folder.path, workers=0)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ArchiveError, match="holds other files: choose an empty folder"):
        library(tmp_path)
    with pytest.raises(SettingError, match="costs of blocks must add up, and 'inference_memory_mb' is a largest value"):
        library(tmp_path / "new", metrics=("inference_memory_mb",))


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    library(tmp_path, ("skip",))
    (tmp_path / "0001-skip.json").write_text('{"scores": 3}')
    with pytest.raises(ArchiveError, match=r"0001-skip.json is damaged .*: remove it to make it again"):
        library(tmp_path, ("skip",))


def test_an_alternative_without_finite_scores_is_left_out(tmp_path: Path) -> None:
    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x / 0 * 0

    found = library(tmp_path, (Custom("broken", lambda block, call: Broken()), "skip"))
    assert "divergence is nan" in found.records["blocks.0"]["broken"].refused
    assert found.options["blocks.0"] == ["skip"]


def test_other_code_is_noticed(tmp_path: Path) -> None:
    library(tmp_path, (Custom("own", lambda block, call: nn.Identity()),))
    library(tmp_path, (Custom("own", lambda block, call: nn.Identity()),))
    with pytest.raises(ArchiveError, match="the code of alternative 'own' changed since"):
        library(tmp_path, (Custom("own", lambda block, call: nn.Tanh()),))


def test_networks_with_batch_norm_and_strides(tmp_path: Path) -> None:
    found = block_library(resnet().eval(), IMAGES, FAST, tmp_path, alternatives=("kernel:3", "linear"), workers=0)
    assert found.options == {path: ["kernel:3", "linear"] for path in ("1.0", "1.1", "2.0", "2.1")}
    smallest = found.assemble(objective="macs", n=1)[0]
    assert set(smallest.choices.values()) == {"linear"} and smallest.differences == {"params": 0, "macs": 0}


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the name of loaders of tokens alone."""
    module = ModuleType("own_texts")
    ids = torch.randint(20, (64, 6), generator=torch.Generator().manual_seed(0))
    batches = [{"ids": part} for part in ids.split(16)]
    module.make = lambda: (batches, batches[:1])  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_texts", module)
    loaders._parts.cache_clear()
    yield "own_texts:make"
    loaders._parts.cache_clear()


def test_texts_without_labels_by_name_and_tied_weights(texts: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Gpt()
    example = {"ids": torch.zeros(2, 6, dtype=torch.long)}
    settings = Distillation(data=texts, epochs=2, device="cpu")
    spec = {"ids": TensorSpec((6,), torch.long, high=20)}
    parts = ["blocks.*.attention", "blocks.*.mlp"]
    found = block_library(
        model, example, settings, tmp_path, alternatives=("grouped_query:1", "width:0.5", "skip"), blocks=parts,
        inputs=spec, workers=0,
    )  # fmt: skip
    assert found.options["blocks.0.attention"] == ["grouped_query:1", "skip"]
    assert found.options["blocks.1.mlp"] == ["width:0.5", "skip"]
    best = found.assemble("params <= 0.6 * baseline", n=1)[0]
    network: Any = best.build()
    assert network.head.weight is network.embedding.weight and best.differences == {"params": 0, "macs": 0}
    assert network(**example)["logits"].shape == (2, 6, 20)


def test_an_assembly_is_exported_without_raynas(made: BlockLibrary, tmp_path: Path) -> None:
    choices = {"blocks.0": "linear", "blocks.1": "heads:0.5"}
    network = made.space.build(made.space.of(choices)).eval()
    exported = raynas.export(network, IMAGES, tmp_path / "export", formats=["source"], verify=False)
    assert "model.py" in exported.files
    source = (tmp_path / "export" / "model.py").read_text()
    assert "import raynas" not in source and "from raynas" not in source
