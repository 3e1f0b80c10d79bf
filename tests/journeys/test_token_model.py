"""A model of token ids: checked, searched, measured, scored without training, trained with shared weights, drawn."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import raynas
from raynas import Architecture, Choice, ModelSpace, Repeat, SearchSpace, TensorSpec
from raynas.data import loaders
from raynas.metrics import METRICS, untrained_metrics
from raynas.metrics.table import read_goal
from raynas.oneshot.differentiable import Darts
from raynas.strategies import RegularizedEvolution
from raynas.testing import SpaceContract
from raynas.testing.in_process import run_trials
from raynas.trials import Function, Subnet, SupernetTraining, Training, ZeroCost
from raynas.trials.supernet.writing import write_supernet

N_TOKENS, N_CLASSES = 20, 3


class Block(nn.Module):
    """A block of a transformer: attention that a mask restricts, and a small network with a choice in it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(8), nn.MultiheadAttention(8, 2, batch_first=True)
        self.mix = Choice({"linear": lambda: nn.Linear(8, 8), "mlp": lambda: nn.Sequential(nn.Linear(8, 16), Squash())})

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        normed = self.norm(x)
        x = x + self.attention(normed, normed, normed, key_padding_mask=padding, need_weights=False)[0]
        out: Tensor = x + self.mix(x)
        return out


class Squash(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.act, self.down = nn.ReLU(), nn.Linear(16, 8)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down(self.act(x))
        return out


class Reader(nn.Module):
    """Reads texts of any length; token 0 is padding, and the tokens read are those of the output's tied weights."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(N_TOKENS, 8)
        self.positions = nn.Embedding(12, 8)
        self.blocks = Repeat(lambda i: Block(), 1, 2)
        self.act = Choice({"relu": nn.ReLU, "gelu": nn.GELU})
        self.classes = nn.Linear(8, N_CLASSES)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        x = self.blocks(x, ids == 0)
        out: Tensor = self.classes(self.act(x).mean(1))
        return out


SPACE = ModelSpace(Reader, inputs=TensorSpec(((3, 12),), torch.long, low=1, high=N_TOKENS))


class ByHand(ModelSpace):
    """A space that overrides its example instead of describing it."""

    def example_input(self, batch_size: int = 1, device: str | torch.device = "cpu") -> Tensor:
        return torch.ones((batch_size, *self.input_shape), dtype=torch.long, device=device)


class TestReader(SpaceContract):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return SPACE


def texts() -> tuple[TensorDataset, TensorDataset]:
    """Texts whose class is their first token, and shorter ones to validate on."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, N_TOKENS, (80, 9), generator=generator)
    return TensorDataset(ids, ids[:, 0] % N_CLASSES), TensorDataset(ids[:20, :7], ids[:20, 0] % N_CLASSES)


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> str:
    module = ModuleType("my_texts")
    module.texts = texts  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_texts", module)
    loaders._parts.cache_clear()
    return "my_texts:texts"


SPACES = pytest.mark.parametrize("space", [SPACE, ByHand(Reader, input_shape=(9,))], ids=["described", "overridden"])


@SPACES
def test_a_search_with_a_function(space: ModelSpace) -> None:
    space.check()

    def train(model: nn.Module, config: Mapping[str, object]) -> Iterator[float]:
        for _ in range(2):
            yield float(space.example(2).call(model).detach().softmax(1).max())

    goal = read_goal(["accuracy", "latency_ms"], "params <= 100000")
    searcher = RegularizedEvolution(population_size=3, tournament_size=2).searcher(space, goal, seed=0)
    runner = Function(fn=train).runner(space, ["accuracy", "latency_ms"])
    run_trials(searcher, runner.run, 6)
    evaluations = searcher.archive.evaluations
    assert len(evaluations) == 6 and not any(e.error for e in evaluations)
    assert all(e.metrics["latency_ms"] > 0 < e.metrics["macs"] for e in evaluations)


ARCH = Architecture({"blocks": 2, "blocks.0.mix": "mlp", "blocks.1.mix": "linear", "act": "relu"})


def test_training_on_texts(data: str) -> None:
    result = Training(data=data, epochs=2, warmup_epochs=0, optimizer="adam").evaluate(
        SPACE, ARCH, metrics=["accuracy", "latency_ms", "naswot", "synflow"]
    )
    assert result["error"] == "" and 0 <= result["accuracy"] <= 1
    assert all(result[name] > 0 for name in ("latency_ms", "macs", "synflow")) and result["naswot"] < 1e9


def test_scores_without_training(data: str) -> None:
    result = ZeroCost(data=data, batch_size=8).evaluate(SPACE, ARCH)
    assert result["error"] == "" and {"synflow", "naswot", "jacob_cov"} <= result.keys()
    names = ["grad_norm", "snip", "grasp", "fisher", "zico", "epe_nas", "l2_norm"]
    scores = ZeroCost(data=data, batch_size=8, proxies=names).evaluate(SPACE, ARCH)
    assert scores["error"] == "" and all(scores[name] == scores[name] for name in names)
    refused = ZeroCost(data=data, batch_size=8, proxies=["zen"]).evaluate(SPACE, ARCH)
    assert "zen needs an input of real numbers" in refused["error"]
    for name, score in untrained_metrics(SPACE, ["synflow", "l2_norm"]).items():
        assert score(ARCH) > 0 and METRICS[name].needs == "weights"


def test_shared_weights_and_subnets(data: str, tmp_path: Path) -> None:
    settings = SupernetTraining(data=data, epochs=1, warmup_epochs=0, batch_size=16)
    runner = settings.runner(SPACE)
    runner.begin({"arch": {"method": "SinglePath"}})
    assert runner.step()["error"] == ""
    trained = write_supernet(tmp_path, settings.fitted(SPACE)[0], settings, runner.trial.state())
    scoring = Subnet(supernet=trained, data=data, batch_size=16)  # a supernet names no code; whoever uses it does
    result = scoring.evaluate(SPACE, ARCH, metrics=["accuracy", "latency_ms", "snip"])
    assert result["error"] == "" and 0 <= result["accuracy"] <= 1 and result["snip"] > 0


def test_a_differentiable_search(data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaders.Loaders, "halves", lambda self: (self, self))
    settings = SupernetTraining(data=data, epochs=1, warmup_epochs=0, batch_size=16, method=Darts())
    runner = settings.runner(SPACE)
    result = runner.run({"arch": {"method": "Darts"}})
    assert result["error"] == "" and result["loss"] > 0


def test_a_picture(tmp_path: Path) -> None:
    raynas.draw(SPACE, ARCH, tmp_path / "reader.svg")
    picture = (tmp_path / "reader.svg").read_text(encoding="utf-8")
    assert "mlp" in picture and "12" in picture


def test_data_that_the_networks_do_not_take_is_said(data: str) -> None:
    longer = ModelSpace(Reader, inputs=TensorSpec((5,), torch.long, high=N_TOKENS))
    expected = r"Reader takes int64 \(5,\), but my_texts:texts has int64 \(9,\) for an example"
    with pytest.raises(raynas.RaynasError, match=expected):
        Training(data=data).runner(longer)
