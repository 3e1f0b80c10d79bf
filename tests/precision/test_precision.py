"""Precision as decisions: layers, coupling, quantized files, their metrics and their export."""

import pickle
import tempfile
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import raynas
from raynas import Arguments, Choice, ModelSpace, TensorSpec
from raynas.core.joint_space import JointSpace
from raynas.core.one_network import OneNetwork
from raynas.errors import SettingError, SpaceError, UnknownNameError
from raynas.metrics import Measurer, read_goal
from raynas.precision import PrecisionSpace, QuantizedScore, Quantizer, RuntimeNetwork, layers_of
from raynas.strategies import STRATEGIES
from raynas.testing import SpaceContract, run_trials


class Residual(nn.Module):
    """A network of images with a sum of two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.body = nn.Conv2d(32, 32, 3, padding=1)
        self.norm = nn.BatchNorm2d(32)
        self.skip = nn.Conv2d(32, 32, 1)
        self.head = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        x = (self.norm(self.body(x)) + self.skip(x)).relu()
        out: Tensor = self.head(x.mean((2, 3)))
        return out


class Reader(nn.Module):
    """A network of texts: look-up and head share a weight, arguments have names, outputs are a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(30, 16)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.memory = nn.LSTM(16, 16, batch_first=True)
        self.score = nn.Linear(16, 3)
        self.head = nn.Linear(16, 30, bias=False)
        self.head.weight = self.words.weight

    def forward(self, words: Tensor, mask: Tensor) -> dict[str, Tensor]:
        x = self.words(words) * mask[..., None]
        x = x + self.attention(x, x, x, need_weights=False)[0]
        x, _ = self.memory(x)
        return {"words": self.head(x), "score": self.score(x.mean(1))}


torch.manual_seed(0)
RESIDUAL, READER = Residual().eval(), Reader().eval()
IMAGES = torch.randn(8, 3, 12, 12)
TEXTS = {"words": torch.randint(0, 30, (6, 10)), "mask": torch.rand(6, 10)}
OF_IMAGES = OneNetwork(RESIDUAL, TensorSpec((3, 12, 12)))
OF_TEXTS = OneNetwork(READER, {"words": TensorSpec((10,), torch.long, high=30), "mask": TensorSpec((10,))})


class Net(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            Choice({"one": lambda: nn.Linear(4, 8), "two": lambda: nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 8))}),
            nn.ReLU(),
            nn.Linear(8, 2),
        )


class TestPrecisionSpace(SpaceContract):
    @pytest.fixture
    def space(self) -> PrecisionSpace:
        return PrecisionSpace(ModelSpace(Net, input_shape=(4,)), ("float32", "int8"))


def apart(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference as a share of the largest value."""
    found, expected = found.detach(), expected.detach()
    return float((found - expected).abs().max() / expected.abs().max())


def test_layers_that_share_a_weight_are_one_and_an_attention_is_one() -> None:
    named = {layer.name: layer for layer in layers_of(READER, "onnxruntime")}
    assert {name: layer.paths for name, layer in named.items()} == {
        "words": ("words", "head"),
        "attention": ("attention",),
        "score": ("score",),
    }
    assert named["words"].precisions == ("float32", "int8")  # a look-up has no dynamic ranges
    assert named["score"].precisions == ("float32", "int8", "int8_dynamic")


def test_convolutions_that_are_added_may_share_a_decision() -> None:
    free = PrecisionSpace(OF_IMAGES)
    coupled = PrecisionSpace(OF_IMAGES, couple_sums=True)
    assert [layer.paths for layer in free.layers.values()] == [("stem",), ("body",), ("skip",), ("head",)]
    assert [layer.paths for layer in coupled.layers.values()] == [("stem",), ("body", "skip"), ("head",)]
    together = PrecisionSpace(OF_IMAGES, keep=["head"], together=["s*"])
    assert [layer.paths for layer in together.layers.values()] == [("stem", "skip"), ("body",)]


def test_a_layer_that_a_network_lacks_makes_no_other_function() -> None:
    space = PrecisionSpace(ModelSpace(Net, input_shape=(4,)), ("float32", "int8"))
    assert space.size == 2 * 2**4
    one = space.canonical({**space.default, "0": "one"})
    twin = space.canonical({**one, "precision.0.1": "int8"})
    other = space.canonical({**one, "precision.2": "int8"})
    assert space.function_key(one) == space.function_key(twin) != space.function_key(other)
    assert space.precisions(twin) == {"0": "float32", "2": "float32"}


def test_the_file_of_images_computes_in_8_bits_what_the_network_does() -> None:
    space, quantizer = PrecisionSpace(OF_IMAGES), Quantizer(batches=[IMAGES])
    exact, low = quantizer.of(space, space.default), quantizer.of(space, space.uniform("int8"))
    assert isinstance(low, RuntimeNetwork)
    expected = RESIDUAL(IMAGES)
    assert apart(exact(IMAGES), expected) < 1e-5
    assert 1e-5 < apart(low(IMAGES[:5]), expected[:5]) < 0.1
    assert apart(pickle.loads(pickle.dumps(low))(IMAGES[:5]), low(IMAGES[:5])) == 0
    assert operators(low).count("QLinearConv") == 3 and "QLinearAdd" in operators(low)
    partly = quantizer.of(space, {**space.default, "precision.body": "int8"})
    assert operators(partly).count("QLinearConv") == 1 and "QLinearAdd" not in operators(partly)


def test_the_file_of_texts_has_static_and_dynamic_ranges() -> None:
    space = PrecisionSpace(OF_TEXTS, ("float32", "int8", "int8_dynamic"))
    quantizer = Quantizer(batches=[TEXTS])
    point = {**space.uniform("int8"), "precision.score": "int8_dynamic"}
    low, expected = quantizer.of(space, point), READER(**TEXTS)
    found = low(**TEXTS)
    assert found.keys() == expected.keys()
    assert all(0 < apart(found[name], expected[name]) < 0.1 for name in expected)
    assert "DynamicQuantizeMatMul" in operators(low) and "LSTM" in operators(low)
    # The packed projections, their output, and the head.
    assert sum(name in ("MatMulIntegerToFloat", "QGemm") for name in operators(low)) == 3


def operators(network: object) -> list[str]:
    """Return the operations that ONNX Runtime runs."""
    assert isinstance(network, RuntimeNetwork)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = f"{folder}/optimized.onnx"
        onnxruntime.InferenceSession(network.file, options, providers=["CPUExecutionProvider"])
        return [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]


def test_pytorch_computes_layers_in_bfloat16() -> None:
    space, quantizer = PrecisionSpace(OF_TEXTS, runtime="eager"), Quantizer(batches=[TEXTS])
    low, expected = quantizer.of(space, space.uniform("bfloat16")), READER(**TEXTS)
    assert next(low.parameters()).dtype == torch.bfloat16 and READER.words.weight.dtype == torch.float32
    found = low(**TEXTS)
    assert found["words"].dtype == torch.float32
    assert all(1e-5 < apart(found[name], expected[name]) < 0.1 for name in expected)
    exact = quantizer.of(space, space.default)(**TEXTS)
    assert all(apart(exact[name], expected[name]) < 1e-5 for name in expected)


def test_metrics_are_those_of_the_quantized_file() -> None:
    space, quantizer = PrecisionSpace(OF_IMAGES), Quantizer(batches=[IMAGES])
    latency, size = quantizer.metrics()
    measurer = Measurer(space)
    low = space.uniform("int8")
    assert measurer.value(size, low) == quantizer.of(space, low).size_mb < measurer.value(size, space.default)
    measured = measurer.value(latency, low)
    assert measured > 0 and measured.provenance.facts["backend"] == "onnxruntime"  # type: ignore[attr-defined]
    with pytest.raises(SettingError, match="decides no precisions"):
        Measurer(OF_IMAGES).value(size, OF_IMAGES.default)


def test_a_search_finds_the_layer_that_must_stay_exact() -> None:
    space, quantizer = PrecisionSpace(OF_IMAGES), Quantizer(batches=[IMAGES])
    expected = RESIDUAL(IMAGES)
    score = QuantizedScore(
        space=space, quantizer=quantizer, score=lambda network: {"loss": apart(network(IMAGES), expected)}
    )
    goal = read_goal(["loss", "size_mb"], metrics=quantizer.metrics())
    measurer = Measurer(space)
    _, size = quantizer.metrics()
    seen = {}

    def result(config: dict[str, object]) -> dict[str, object]:
        point = space.from_config(config)
        reported = score(space.build(point), config)
        assert isinstance(reported, dict)
        seen[point] = reported["loss"]
        return {**reported, "size_mb": measurer.value(size, point), "latency_ms": 1.0, "training_iteration": 1}

    searcher = STRATEGIES["nsga2"]().for_budget(16).searcher(space, goal, seed=0, costs={})
    run_trials(searcher, result, 16)
    assert len(seen) == 16  # all of them, each once
    assert min(seen, key=lambda point: seen[point]) == space.default


def test_the_gate_is_a_limit_relative_to_the_default() -> None:
    space = PrecisionSpace(OF_IMAGES)
    assert space.natural_baseline == space.default
    converted = raynas.convert(RESIDUAL, IMAGES)
    joint = PrecisionSpace(converted)
    assert joint.natural_baseline is not None and joint.inside(joint.natural_baseline) == converted.default
    assert joint.precisions(joint.uniform("int8"))["body"] == "int8"
    assert JointSpace(joint, {}).size == joint.size


def test_a_quantized_network_is_exported_as_a_verified_file(tmp_path: Path) -> None:
    space, quantizer = PrecisionSpace(OF_TEXTS, ("float32", "int8")), Quantizer(batches=[TEXTS])
    low = quantizer.of(space, space.uniform("int8"))
    assert isinstance(low, RuntimeNetwork)
    exported = raynas.export(low, TEXTS, tmp_path / "deploy")
    assert exported.files == ("model.onnx", "README.md") and exported.report["model.onnx"]["latency_ms"]
    assert "in 8 bits: words, head, attention, score" in (tmp_path / "deploy" / "README.md").read_text()
    assert (tmp_path / "deploy" / "model.onnx").read_bytes() == low.file
    raynas.export(low, TEXTS, tmp_path / "deploy", verify=False)  # in the place of the first


def test_what_cannot_be_is_refused_in_one_line() -> None:
    with pytest.raises(UnknownNameError, match="int7"):
        PrecisionSpace(OF_IMAGES, ("float32", "int7"))
    with pytest.raises(SettingError, match="runtime must be one of onnxruntime, eager, got 'tpu'"):
        PrecisionSpace(OF_IMAGES, runtime="tpu")
    with pytest.raises(SpaceError, match=r"'haed' names no layer of .*did you mean 'head'"):
        _ = PrecisionSpace(OF_IMAGES, keep=["haed"]).layers
    with pytest.raises(SpaceError, match=r"no layer of .* has a choice of bfloat16 on onnxruntime"):
        _ = PrecisionSpace(OF_IMAGES, ("bfloat16",)).layers
    with pytest.raises(SettingError, match="at least one batch"):
        Quantizer(batches=[])
    with pytest.raises(SettingError, match="calibration must be one of minmax"):
        Quantizer(batches=[IMAGES], calibration="guess")


def test_arguments_reach_the_file_by_their_names() -> None:
    space, quantizer = PrecisionSpace(OF_TEXTS, ("float32", "int8")), Quantizer(batches=[TEXTS])
    exact = quantizer.of(space, space.default)
    given = Arguments((), {"mask": TEXTS["mask"], "words": TEXTS["words"]})
    assert apart(given.call(exact)["words"], READER(**TEXTS)["words"]) < 1e-5
