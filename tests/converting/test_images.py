"""Members that compute with smaller images than the given model."""

import pickle

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.converting import ConvertedSpace, Resolution, Width, convert
from raynas.core.inputs import Arguments
from raynas.errors import SpaceError
from raynas.exporting.source import write_source
from raynas.metrics.cost import count_macs
from raynas.nn.supernet import Supernet
from raynas.oneshot.progressive_shrinking import kinds

X = torch.rand(2, 3, 16, 24)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.norm(self.conv(x)).relu().mean((2, 3)))
        return y


class Depth(nn.Module):
    """Takes images in colour and their depth, of half of the size."""

    def __init__(self) -> None:
        super().__init__()
        self.color, self.depth, self.head = nn.Conv2d(3, 8, 2, 2), nn.Conv2d(1, 8, 1), nn.Linear(8, 4)

    def forward(self, color: Tensor, ids: Tensor, *, depth: Tensor) -> Tensor:
        y: Tensor = self.head((self.color(color) + self.depth(depth)).relu().mean((2, 3)))
        return y * ids[:, None]


@pytest.fixture(scope="module")
def space() -> ConvertedSpace:
    torch.manual_seed(0)
    return convert(Net(), X, vary={"*": Width(0.5, 1.0), "input": Resolution(8, 12)})


def test_members_compute_with_smaller_images(space: ConvertedSpace) -> None:
    (decision,) = [decision for decision in space.decisions if "resolution" in decision.name]
    assert (decision.name, list(decision.options)) == ("input.resolution", [16, 12, 8])
    model, supernet = space.plan.wiring.model.eval(), Supernet(space).eval()
    for side, shape in ((16, (16, 24)), (12, (12, 18)), (8, (8, 12))):
        arch = {"conv.width": 16, "input.resolution": side}
        expected = model(functional.interpolate(X, shape, mode="area"))
        member = space.build(arch).eval()
        torch.testing.assert_close(member(X), expected)
        torch.testing.assert_close(member(x=X), expected)
        torch.testing.assert_close(supernet(X, arch), expected)
        torch.testing.assert_close(supernet.extract(arch).eval()(X), expected)
        assert count_macs(member, X) == count_macs(model, torch.rand(2, 3, *shape))
    assert type(space.build(space.largest)) is Net
    assert kinds(supernet)["input.resolution"] == "side"


def test_costs_and_tables_know_the_resolution(space: ConvertedSpace) -> None:
    assert space.summary().startswith("Net: 1 width, 1 resolution, 6 members\n")
    assert "input.resolution  x " in space.summary()
    smallest, largest = (space.profile().members[name] for name in ("smallest", "largest"))
    assert smallest["macs"] < 0.3 * largest["macs"]


def test_members_survive_pickles_and_become_source_code(space: ConvertedSpace) -> None:
    member = space.build(space.smallest).eval()
    torch.testing.assert_close(pickle.loads(pickle.dumps(member))(X), member(X))
    text = write_source(member, "A network of smaller images").text
    assert "Resize(side=(8, 12))" in text


def test_several_images_are_resized_together() -> None:
    example = Arguments((X, torch.ones(2)), {"depth": torch.rand(2, 1, 8, 12)})
    space = convert(Depth(), example, vary={"[cd]*": Resolution(8)}, keep=["head"])
    assert [decision.name for decision in space.decisions] == ["color.resolution"]
    arch, supernet = space.sample(np.random.default_rng(0)), Supernet(space).eval()
    for arch in (space.smallest, space.largest):
        torch.testing.assert_close(example.call(space.build(arch)), supernet(example, arch))


def test_images_that_cannot_be_named_are_refused() -> None:
    with pytest.raises(SpaceError, match="numbers of pixels"):
        Resolution(0)
    with pytest.raises(SpaceError, match=r"'inputs' names no images of the model: it takes 'x'"):
        convert(Net(), X, vary={"inputs": Resolution(8)})
    example = Arguments((X, torch.ones(2)), {"depth": torch.rand(2, 1, 8, 12)})
    with pytest.raises(SpaceError, match=r"it takes 'color', 'depth'; a glob such as '\*' resizes several together"):
        convert(Depth(), example, vary={"input": Resolution(8)})
    with pytest.raises(SpaceError, match="none of its arguments"):
        convert(nn.Linear(4, 4), torch.rand(2, 4), vary={"input": Resolution(8)})
    with pytest.raises(SpaceError, match="have 16 pixels, fewer than the 32"):
        convert(Net(), X, vary={"input": Resolution(8, 32)})


def test_images_that_are_kept_stay() -> None:
    space = convert(Net(), X, vary={"*": Width(0.5), "input": Resolution(8)}, keep=["x"])
    assert [decision.name for decision in space.decisions] == ["conv.width"]
