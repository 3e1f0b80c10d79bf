"""Models, inputs and ranges as the command line names them."""

import sys
from types import ModuleType

import pytest
import torch
from torch import nn

from raynas.cli.model_reading import read_inputs, read_model, read_vary
from raynas.converting import Depth, Kernel, Resolution, Width
from raynas.core.inputs import Arguments, TensorSpec
from raynas.errors import RaynasError, SpaceError


def fails() -> nn.Module:
    raise RuntimeError("no file\nhere")


@pytest.fixture(autouse=True)
def mine(monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    module = ModuleType("mine")
    network = nn.Linear(2, 3)
    for name, value in {"net": network, "make": nn.ReLU, "fails": fails, "number": 3, "batch": lambda: (7, 8)}.items():
        setattr(module, name, value)
    monkeypatch.setitem(sys.modules, "mine", module)
    return network


def test_models(mine: nn.Module) -> None:
    assert read_model("mine:net") is mine
    assert isinstance(read_model("mine:make"), nn.ReLU)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("mine:nett", "has no function 'nett'; did you mean 'net'"),
        ("mine", "named as package.module:function, got 'mine'"),
        ("mine:fails", r"mine:fails\(\) gives no model: RuntimeError: no file here"),
        ("mine:number", "is a int: name an nn.Module, or what makes one"),
    ],
)
def test_no_models(reference: str, message: str) -> None:
    with pytest.raises(RaynasError, match=message):
        read_model(reference)


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
    for text in ("a=0.5", "a=width:wide", "a=depth:0.5", "a"):
        with pytest.raises(RaynasError, match=f"cannot read '{text}': write 'GLOB=width"):
            read_vary([text])
    with pytest.raises(SpaceError, match="shares of the given width"):
        read_vary(["a=width:2"])
