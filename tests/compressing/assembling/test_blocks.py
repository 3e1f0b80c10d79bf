"""Blocks of models: found or named, and their calls."""

import pytest
import torch
from torch import Tensor, nn

from raynas.compressing.assembling.blocks import blocks_of, call_of
from raynas.core.inputs import Arguments
from raynas.errors import SpaceError
from tests.compressing.assembling.nets import resnet, vit

IMAGES = Arguments((torch.rand(2, 1, 8, 8),))


class Squeezed(nn.Module):
    """A block that holds a container with a block of another kind."""

    def __init__(self) -> None:
        super().__init__()
        gate = nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 8))
        self.layers = nn.Sequential(nn.Linear(8, 8), gate, nn.Linear(8, 8))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layers(x)
        return found


class Stage(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Squeezed() for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Squeezed(), Squeezed()])

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layers[0](self.layers[0](x))
        return found


def test_repeated_blocks_are_found() -> None:
    assert list(blocks_of(vit(), IMAGES)) == ["blocks.0", "blocks.1"]
    assert list(blocks_of(resnet().eval(), IMAGES)) == ["1.0", "1.1", "2.0", "2.1"]


def test_blocks_of_stages_are_found_and_not_what_is_in_them() -> None:
    model = nn.Sequential(Stage(), Stage())
    found = list(blocks_of(model, Arguments((torch.rand(2, 8),))))
    assert found == ["0.blocks.0", "0.blocks.1", "1.blocks.0", "1.blocks.1"]


def test_named_blocks_are_taken() -> None:
    found = list(blocks_of(vit(), IMAGES, ["blocks.*.attention", "blocks.1.mlp"]))
    assert found == ["blocks.0.attention", "blocks.1.attention", "blocks.1.mlp"]


def test_what_cannot_be_a_block_is_refused() -> None:
    with pytest.raises(SpaceError, match=r"'block.0' matches no module of the model; did you mean 'blocks.0'"):
        blocks_of(vit(), IMAGES, ["block.0"])
    with pytest.raises(SpaceError, match=r"blocks.0.mlp is a part of blocks.0: name one of them"):
        blocks_of(vit(), IMAGES, ["blocks.0", "blocks.*.mlp"])
    with pytest.raises(SpaceError, match=r"layers.0 is called 2 times in a run"):
        blocks_of(Shared(), Arguments((torch.rand(2, 8),)), ["layers.0"])
    with pytest.raises(SpaceError, match="Sequential has no repeated blocks: name the modules"):
        blocks_of(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)), Arguments((torch.rand(2, 8),)))
    with pytest.raises(SpaceError, match="ViT does not run on the example inputs"):
        blocks_of(vit(), Arguments((torch.rand(2, 1, 8, 9),)))


def test_a_call_holds_the_input_before_the_block_changed_it() -> None:
    model = resnet().eval()
    with torch.no_grad():
        call = call_of(model, "1.1", IMAGES)
        expected = model[1][0](model[0](IMAGES.args[0]))
    assert torch.equal(call.taken, expected) and call.taken.any()
    assert torch.equal(call.given, model[1][1](expected.clone()))
