import torch
from torch import nn

from raynas.drawing.network import network_picture
from raynas.nn import Choice, ModelSpace, Repeat
from raynas.search_spaces import NASBench201
from tests.drawing.legible import assert_legible


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.block = Choice({"conv": lambda: nn.Conv2d(4, 4, 1), "skip": nn.Identity})
        self.layers = Repeat(
            lambda i: nn.Sequential(Choice({"relu": nn.ReLU, "gelu": nn.GELU}, label="act"), nn.Dropout()), 1, 4
        )
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 7))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.layers(self.block(self.stem(x))))
        return out


def test_a_network_is_drawn_block_by_block() -> None:
    space = ModelSpace(Net, input_shape=(3, 8, 8))
    picture = network_picture(space, {"block": "skip", "layers": 3, "act": "relu"})
    assert [box.shown for box in picture.boxes] == [
        "layers = 3\nact = relu",
        "input\n3×8×8",
        "stem\nConv2d\n4×8×8",
        "block\nIdentity\nchosen = skip\n4×8×8",
        "layers.0 … layers.2\n3 × Sequential\n4×8×8",
        "head\nSequential\n7",
    ]
    assert [(e.source, e.target) for e in picture.arrows] == [
        ("input", "stem"),
        ("stem", "block"),
        ("block", "layers.0"),
        ("layers.0", "head"),
    ]
    assert_legible(picture)


class Labelled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = Choice({"relu": nn.ReLU, "gelu": nn.GELU}, label="act")
        self.second = Choice({"drop": nn.Dropout, "skip": nn.Identity}, label="end")
        self.third = Choice({"relu": nn.ReLU, "gelu": nn.GELU}, label="act")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.third(self.second(self.first(x)))
        return out


def test_a_label_is_shown_where_its_only_place_is() -> None:
    space = ModelSpace(Labelled, input_shape=(3,))
    picture = network_picture(space, {"act": "relu", "end": "skip"}, space.factory())
    assert [box.shown for box in picture.boxes] == [
        "act = relu",
        "input\n3",
        "first\nReLU\n3",
        "second\nIdentity\nend = skip\n3",
        "third\nReLU\n3",
    ]


def test_drawing_a_network_draws_no_random_numbers() -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    network_picture(NASBench201(cells=1), dict.fromkeys((d.name for d in NASBench201().decisions), "nor_conv_1x1"))
    assert torch.equal(before, torch.random.get_rng_state())
