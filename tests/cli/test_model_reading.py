"""Models, inputs and ranges as the command line names them."""

import sys
from collections import OrderedDict
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from raynas.cli.model_options import ModelFlags
from raynas.cli.model_reading import read_inputs, read_model, read_vary
from raynas.converting import Depth, Kernel, Resolution, Width
from raynas.core.inputs import Arguments, TensorSpec
from raynas.errors import RaynasError, SpaceError
from raynas.files.weights import write_weights


def fails() -> nn.Module:
    raise RuntimeError("no file\nhere")


def classifier(n_classes: int) -> nn.Module:
    return nn.Sequential(OrderedDict(stem=nn.Linear(2, 2), norm=nn.BatchNorm1d(2), head=nn.Linear(2, n_classes)))


def stem() -> nn.Module:
    return nn.Sequential(OrderedDict(stem=nn.Linear(2, 2), norm=nn.BatchNorm1d(2)))


@pytest.fixture(autouse=True)
def mine(monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    module = ModuleType("mine")
    network = nn.Linear(2, 3)
    made = {"net": network, "make": nn.ReLU, "fails": fails, "classifier": classifier, "stem": stem}
    for name, value in {**made, "number": 3, "batch": lambda: (7, 8)}.items():
        setattr(module, name, value)
    monkeypatch.setitem(sys.modules, "mine", module)
    return network


def given(name: str, *, weights: Path | None = None, untrained: tuple[str, ...] = ()) -> ModelFlags:
    return ModelFlags(name=name, weights=str(weights) if weights else None, untrained=untrained)


def test_models(mine: nn.Module) -> None:
    assert read_model(given("mine:net")) is mine
    assert isinstance(read_model(given("mine:make")), nn.ReLU)


def test_an_untrained_model_always_has_the_same_weights() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second = (read_model(given("mine:classifier(3)")).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(torch.get_rng_state(), before)


def test_arguments_and_those_from_the_data() -> None:
    sizes = [
        read_model(given(name), {"n_classes": 5, "input_shape": (1, 2, 2)}).get_parameter("head.weight").shape[0]
        for name in ("mine:classifier", "mine:classifier(3)", "mine:classifier(n_classes=4)")
    ]
    assert sizes == [5, 3, 4]


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("mine:nett", "has no function 'nett'; did you mean 'net'"),
        ("mine", "named as package.module:function, got 'mine'"),
        ("mine:fails", r"mine:fails\(\) gives no model: RuntimeError: no file here"),
        ("mine:number", "is a int: name a model"),
    ],
)
def test_no_models(reference: str, message: str) -> None:
    with pytest.raises(RaynasError, match=message):
        read_model(given(reference))


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_weights(name: str, tmp_path: Path) -> None:
    state = {key: value + 1 for key, value in classifier(3).state_dict().items()}
    torch.save(state, tmp_path / name) if name.endswith("pt") else write_weights(state, tmp_path / name)
    model = read_model(given("mine:classifier(3)", weights=tmp_path / name))
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    other = read_model(given("mine:classifier(4)", weights=tmp_path / name, untrained=("head",)))
    fresh = read_model(given("mine:classifier(4)"))
    assert torch.equal(other.get_parameter("stem.weight"), state["stem.weight"])
    assert torch.equal(other.get_parameter("head.weight"), fresh.get_parameter("head.weight"))


@pytest.mark.parametrize(
    ("model", "untrained", "message"),
    [
        (
            "mine:classifier(4)",
            (),
            r"head.weight has shape \(3, 2\) in it, and has shape \(4, 2\).*say --untrained head$",
        ),
        ("mine:net", (), "weight is missing in it, and has shape"),
        ("mine:stem", (), r"head.bias has shape \(3,\) in it, and is missing in the model$"),
        ("mine:classifier(4)", ("haed",), "--untrained haed matches no layer of the model; did you mean 'head'"),
    ],
)
def test_weights_of_another_model(model: str, untrained: tuple[str, ...], message: str, tmp_path: Path) -> None:
    write_weights(classifier(3).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(RaynasError, match=message):
        read_model(given(model, weights=tmp_path / "w.safetensors", untrained=untrained))


def test_inputs() -> None:
    example, spec = read_inputs(["3x8x9"])
    assert spec == TensorSpec((3, 8, 9)) and Arguments.of(example).tensors[0].shape == (2, 3, 8, 9)
    example, spec = read_inputs(["ids=12:long:30", "mask=12:bool"])
    assert spec == {"ids": TensorSpec((12,), torch.long, high=30), "mask": TensorSpec((12,), torch.bool)}
    ids = Arguments.of(example).kwargs["ids"]
    assert ids.shape == (2, 12) and ids.dtype == torch.long and ids.max() < 30
    _, spec = read_inputs(["4", "5:half"])
    assert spec == (TensorSpec((4,)), TensorSpec((5,), torch.float16))
    assert read_inputs(["mine:batch"]) == ((7, 8), (7, 8))


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["3x"], "cannot read input '3x': write SHAPE"),
        (["3x8:flot"], "no type of torch; did you mean 'float'"),
        (["a=3", "4"], "give every input a different name, or none"),
        (["a=3", "a=4"], "give every input a different name, or none"),
        (["mine:fails"], r"mine:fails\(\) gives no example: RuntimeError"),
        (["mine:nowhere"], "has no function 'nowhere'"),
    ],
)
def test_no_inputs(texts: list[str], message: str) -> None:
    with pytest.raises(RaynasError, match=message):
        read_inputs(texts)


def test_ranges() -> None:
    assert read_vary(()) is None
    found = read_vary(["a.*=width:0.5,1", "b=depth:1,2", "c=kernel:3", "input=resolution:8,16"])
    assert found is not None and list(found) == ["a.*", "b", "c", "input"]
    assert isinstance(found["a.*"], Width) and found["a.*"].fractions == (0.5, 1)
    assert isinstance(found["b"], Depth) and found["b"].depths == (1, 2)
    assert isinstance(found["c"], Kernel) and found["c"].sizes == (3,)
    assert isinstance(found["input"], Resolution) and found["input"].sides == (8, 16)
    for text in ("a=0.5", "a=width:wide", "a=depth:0.5", "a=hight:3", "a"):
        with pytest.raises(RaynasError, match=f"cannot read '{text}': write 'GLOB=width"):
            read_vary([text])
    with pytest.raises(SpaceError, match="shares of the given width"):
        read_vary(["a=width:2"])
