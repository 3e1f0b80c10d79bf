"""Everything that computes on a device runs on a pretend GPU, which refuses tensors of the CPU."""

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import raynas
from raynas.compressing.mining.recovering import Recovery
from raynas.core.inputs import TensorSpec
from raynas.core.metric import Metric
from raynas.errors import RaynasError
from raynas.metrics import ZERO_COST, Batch, zero_cost_scores
from raynas.metrics.expected_cost import fit_cost_table
from raynas.metrics.latency import measure_latency
from raynas.nn import Choice, ModelSpace, Supernet
from raynas.nn.batch_statistics import recalibrate
from raynas.oneshot import ONESHOT, OneShot
from raynas.search_spaces import NASBench201
from raynas.trials import Distillation, Subnet, SupernetDistillation, SupernetTraining, Training, ZeroCost
from raynas.trials.checkpoint import CHECKPOINT_KEY
from raynas.trials.shared_batch_norm import share_statistics
from raynas.trials.supernet.writing import write_supernet
from raynas.trials.workers import Distributed
from tests.compressing.assembling.nets import vit
from tests.oneshot.contract import saved, setup_of
from tests.oneshot.spaces import batches, everything, only_operations
from tests.oneshot.test_contract import FITTED
from tests.pretend_gpu import pretend_gpu
from tests.trials.spaces import TinyCnn
from tests.trials.supernet import small
from tests.trials.test_distillation import digits_space

ARCH = {"depth": 2, "kernel": 3}
SPACE = NASBench201(channels=4, cells=1, input_shape=(1, 8, 8))


@pytest.fixture(autouse=True)
def gpu() -> Iterator[torch.device]:
    with pretend_gpu() as device:
        yield device


def succeeded(result: dict[str, Any]) -> dict[str, Any]:
    assert not result["failed"], result["error"]
    return result


# --- trials ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"optimizer": "adamw", "augment": "crop_flip_cutout", "resolution": 6}])
def test_training_and_its_metrics(changes: dict[str, Any]) -> None:
    metrics: list[str | Metric] = ["latency_ms", "synflow", "naswot"]
    given: dict[str, Any] = {"epochs": 1, "data_fraction": 0.05, "batch_size": 32, **changes}
    on_gpu = succeeded(Training(**given, device="cuda").evaluate(TinyCnn(), ARCH, metrics=metrics))
    on_cpu = succeeded(Training(**given, device="cpu").evaluate(TinyCnn(), ARCH, metrics=metrics))
    assert on_gpu["loss"] == pytest.approx(on_cpu["loss"], rel=1e-3)
    assert on_gpu["synflow"] == pytest.approx(on_cpu["synflow"], rel=1e-3) and on_gpu["latency_ms"] > 0


class Reader(nn.Module):
    """Takes token ids and a mask, as keywords."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.mix = Choice({"linear": lambda: nn.Linear(8, 8), "skip": nn.Identity}, "mix")
        self.head = nn.Linear(8, 2)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        hidden = self.mix(self.embed(ids)) * mask[..., None]
        logits: torch.Tensor = self.head(hidden.sum(1) / mask.sum(1, keepdim=True))
        return logits


def test_loaders_of_token_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("my_tokens")
    ids, mask = torch.randint(20, (24, 6)), torch.ones(24, 6)
    pairs = [({"ids": ids[i], "mask": mask[i]}, i % 2) for i in range(24)]
    module.make = lambda: (DataLoader(pairs, 8), DataLoader(pairs, 8))  # type: ignore[attr-defined, arg-type]
    monkeypatch.setitem(sys.modules, "my_tokens", module)
    space = ModelSpace(Reader, inputs={"ids": TensorSpec((6,), torch.long, high=20), "mask": TensorSpec((6,))})
    training = Training(data="my_tokens:make", epochs=1)
    result = succeeded(training.evaluate(space, {"mix": "linear"}, metrics=["latency_ms", "synflow", "snip"]))
    assert result["latency_ms"] > 0
    succeeded(SupernetTraining(data="my_tokens:make", epochs=1, batch_size=8).evaluate(space, {"method": "SinglePath"}))


def test_training_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    runner = Training(epochs=2, data_fraction=0.05).runner(TinyCnn())
    runner.begin({"arch": ARCH})
    succeeded(runner.step())
    runner.save(tmp_path)
    expected = succeeded(runner.step())
    runner.begin({"arch": ARCH, CHECKPOINT_KEY: str(tmp_path)})
    assert runner.progress.epoch == 1
    assert succeeded(runner.step())["loss"] == pytest.approx(expected["loss"], rel=1e-4)
    assert all(tensor.is_cuda for tensor in runner.trial.trainer.model.state_dict().values())


def test_weights_are_taken_over_from_another_architecture(tmp_path: Path) -> None:
    """As population based training does."""
    runner = Training(epochs=3, data_fraction=0.05).runner(TinyCnn())
    runner.begin({"arch": {"depth": 1, "kernel": 3}})
    succeeded(runner.step())
    runner.save(tmp_path)
    runner.begin({"arch": {"depth": 2, "kernel": 5}})
    runner.load(tmp_path)
    assert runner.progress.epoch == 1, runner.progress.traceback
    succeeded(runner.step())


def test_retraining(tmp_path: Path) -> None:
    metrics = raynas.trials.retrain(TinyCnn(), ARCH, Training(epochs=1, data_fraction=0.05), tmp_path)
    assert metrics["test_accuracy"] > 0 and (tmp_path / "weights.safetensors").exists()


def test_a_library_of_blocks(tmp_path: Path) -> None:
    images = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    scores = {}
    for device in ("cuda", "cpu"):
        training = Distillation(data="digits", epochs=1, data_fraction=0.1, device=device)
        names = ("heads:0.5", "grouped_query:1", "linear", "skip")
        library = raynas.block_library(vit(), images, training, tmp_path / device, alternatives=names, workers=0)
        scores[device] = [library.records[path][name].scores["divergence"] for path in library.blocks for name in names]
        assert library.scored(library.assemble(n=1)[0])["divergence"] == pytest.approx(0, abs=1e-6)
    assert scores["cuda"] == pytest.approx(scores["cpu"], rel=0.05)


def test_a_converted_supernet_is_distilled_scored_and_its_members_recovered(tmp_path: Path) -> None:
    space, divergences = digits_space(), {}
    for device in ("cuda", "cpu"):
        given: dict[str, Any] = {"data": "digits", "epochs": 1, "data_fraction": 0.1, "device": device}
        settings = SupernetDistillation(**given)
        runner = settings.runner(space)
        runner.begin({"arch": {"method": "Sandwich"}})
        first = succeeded(runner.step())
        folder = tmp_path / device
        folder.mkdir()
        trained = write_supernet(folder, settings.fitted(space)[0], settings, runner.trial.state())
        scored = succeeded(Subnet(supernet=trained, device=device).evaluate(space, space.smallest))
        recovery = Recovery.of(Distillation(**given), space.given)
        recovered = succeeded(recovery.evaluate(trained.inherited, space.smallest))
        divergences[device] = [result["divergence"] for result in (first, scored, recovered)]
    assert divergences["cuda"] == pytest.approx(divergences["cpu"], rel=0.05)


def test_zero_cost_scoring() -> None:
    scoring = ZeroCost(data="digits", device="cuda")
    result = succeeded(scoring.evaluate(TinyCnn(), ARCH, metrics=["naswot", "synflow"]))
    assert all(math.isfinite(result[name]) for name in ("naswot", "synflow"))


# --- shared weights --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ONESHOT)
def test_every_method_of_training_shared_weights(name: str) -> None:
    method = FITTED.get(name) or ONESHOT[name]()
    space = everything() if name in EVERYTHING else only_operations()
    learner = method.start(on_gpu(method, space))
    learner.begin_epoch()
    assert learner.step(moved(1)[0], moved(1, seed=1)[0] if method.uses_valid else None).is_cuda
    learner.end_epoch(lambda: moved(1, seed=1))
    learner.logits(moved(1)[0][0], learner.candidates()[0])
    if name in EVERYTHING:
        again = method.start(on_gpu(method, space))
        again.load_state_dict(saved(learner))
        again.begin_epoch()
        again.step(moved(1)[0], moved(1)[0] if method.uses_valid else None)


EVERYTHING = ("darts", "progressive_shrinking", "sandwich")
"""The methods that are tried on every kind of choice, and from a saved state; the others share their ways with them."""


def on_gpu(method: OneShot, space: Any) -> Any:
    """Return the setup of a training whose supernet lies on the GPU."""
    with torch.device("cuda"):
        return setup_of(space, method)


def moved(n: int, seed: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(images.cuda(), labels.cuda()) for images, labels in batches(n, seed)]


@pytest.mark.parametrize("name", ["progressive_shrinking", "darts"])
def test_training_a_supernet(name: str, tmp_path: Path) -> None:
    method = ONESHOT[name]()
    runner = small.settings(method=method, epochs=1, data_fraction=0.05).runner(small.SPACE)
    runner.begin({"arch": {"method": type(method).__name__}})
    assert succeeded(runner.step())["training_iteration"] == 1
    assert all(tensor.is_cuda for tensor in runner.trial.state()["learner"]["supernet"].values())


def test_data_parallel_training(monkeypatch: pytest.MonkeyPatch, gpu: torch.device) -> None:
    """As nccl does, the messages between workers refuse tensors of the CPU."""
    sent: list[int] = []

    def all_reduce(tensor: torch.Tensor) -> None:
        assert tensor.is_cuda
        sent.append(tensor.numel())

    monkeypatch.setattr("torch.distributed.all_reduce", all_reduce)
    given = small.settings(epochs=2, data_fraction=0.05)
    space, source = given.fitted(small.SPACE)
    trainer = given.trainer(space, source, gpu, Distributed(rank=0, n=1))
    scores = trainer.run_epoch()
    buffers = sum(b.numel() for b in trainer.learner.supernet.buffers() if b.is_floating_point())
    assert sent[-1] == 1 + buffers and scores["train_loss"] > 0
    again = given.trainer(space, source, gpu, Distributed(rank=1, n=1))
    again.load_state_dict(trainer.state_dict())
    assert "accuracy" not in again.run_epoch()  # the first worker alone examines


def test_batch_norms_of_several_workers(gpu: torch.device) -> None:
    """On GPUs they are torch's, which talk over nccl."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    names = list(model.state_dict())
    shared = share_statistics(model.to(gpu))
    assert isinstance(shared[1], nn.SyncBatchNorm) and list(shared.state_dict()) == names  # type: ignore[index]
    assert shared(torch.rand(2, 1, 4, 4, device=gpu)).is_cuda


def test_subnets_of_a_supernet(tmp_path: Path) -> None:
    trained = small.written(tmp_path / "supernet", data_fraction=0.05)
    arch = SPACE.sample(np.random.default_rng(0))
    scoring = Subnet(supernet=trained, calibration_batches=2, device="cuda")
    on_the_gpu = succeeded(scoring.evaluate(SPACE, arch, metrics=["latency_ms"]))
    here = succeeded(Subnet(supernet=trained, calibration_batches=2, device="cpu").evaluate(SPACE, arch))
    assert on_the_gpu["loss"] == pytest.approx(here["loss"], rel=1e-3)


def test_extraction_and_recalibration(gpu: torch.device) -> None:
    space = everything()
    supernet = Supernet(space).to(gpu)
    arch = space.sample(np.random.default_rng(1))
    images = torch.randn(8, 2, 6, 6, device=gpu)
    network = supernet.extract(arch)
    recalibrate(network, [images])
    assert network.eval()(images).is_cuda
    assert torch.allclose(network.train()(images), supernet.train()(images, arch), atol=1e-5)


# --- measurements ----------------------------------------------------------------------------------------------------


def network() -> nn.Module:
    body = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    return nn.Sequential(body, nn.Flatten(), nn.Linear(4, 3))


@pytest.mark.parametrize("where", ["cuda", "cpu"])
def test_every_zero_cost_proxy(where: str) -> None:
    """On images of the CPU too, as data are drawn there."""
    torch.manual_seed(0)
    model, images, labels = network(), torch.randn(6, 1, 8, 8), torch.arange(6) % 3
    expected = zero_cost_scores(model, Batch(images, labels), ZERO_COST)
    scores = zero_cost_scores(model.cuda(), Batch(images.to(where), labels.to(where)), ZERO_COST)
    assert not scores.failures and not expected.failures
    assert dict(scores.values) == pytest.approx(dict(expected.values), rel=1e-2)


def test_latency(gpu: torch.device) -> None:
    model = network()
    measured = measure_latency(model, (1, 8, 8), device=gpu, n_runs=3)
    facts = dict(measured.provenance.facts)
    assert measured > 0 and facts["timer"] == "CUDA events" and facts["device"] == "pretend GPU"
    assert not any(parameter.is_cuda for parameter in model.parameters())
    table = fit_cost_table(TinyCnn(), "latency_ms", n_samples=1, device=gpu)
    assert table.base > 0 or any(cost > 0 for costs in table.costs.values() for cost in costs)


def test_latency_of_a_graph(gpu: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a pretend one, which says how often it was recorded and replayed."""
    calls: list[str] = []

    class Graph:
        def replay(self) -> None:
            calls.append("replay")

    @contextmanager
    def recording(graph: Graph) -> Iterator[None]:
        calls.append("record")
        yield

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", recording)
    measured = measure_latency(network(), (1, 8, 8), backend="cuda_graph", device=gpu, n_runs=3, n_warmup=1)
    facts = dict(measured.provenance.facts)
    assert (facts["backend"], facts["timer"]) == ("cuda_graph", "CUDA events")
    assert calls[:2] == ["record", "replay"] and calls.count("record") == 1 and calls.count("replay") >= 4

    class Reader(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if "record" in calls[-1:]:
                raise RuntimeError("operation not permitted when stream is capturing")
            return x

    with pytest.raises(RaynasError, match=r"take back end eager \(RuntimeError: operation not permitted"):
        measure_latency(Reader(), (1, 8, 8), backend="cuda_graph", device=gpu, n_runs=3)
    with pytest.raises(RaynasError, match="back end 'cuda_graph' has device cuda, got 'cpu'"):
        measure_latency(network(), (1, 8, 8), backend="cuda_graph", n_runs=3)
