"""Ranks as decisions: members by singular values, nested ranks in a supernet, adapters and their configuration."""

import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.core.inputs import TensorSpec
from raynas.errors import SettingError, SpaceError
from raynas.low_rank import AdapterSpace, LowRankSpace, adapter_space, lora_config, low_rank_space, trained_params
from raynas.low_rank.pairs import columns
from raynas.metrics import Measurer
from raynas.nn import Supernet
from raynas.testing import SpaceContract
from raynas.trials import Distillation
from tests.torchvision_here import can_import_torchvision


class Net(nn.Module):
    """Layers of all kinds: padded, dilated, in groups, without a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1, stride=2, padding_mode="circular")
        self.norm = nn.BatchNorm2d(16)
        self.body = nn.Conv2d(16, 24, 3, dilation=2, bias=False)
        self.groups = nn.Conv2d(24, 24, 3, groups=24)
        self.head = nn.Linear(24, 20)
        self.out = nn.Linear(20, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.groups(self.body(self.norm(self.stem(x)).relu()))
        out: Tensor = self.out(self.head(x.mean((2, 3))).relu())
        return out


class Signals(nn.Module):
    """A network of signals and words, with named arguments; the look-up shares its weight with the head."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(40, 12)
        self.wave = nn.Conv1d(2, 12, 5, padding=2)
        self.mix = nn.Linear(12, 12)
        self.head = nn.Linear(12, 40, bias=False)
        self.head.weight = self.words.weight

    def forward(self, words: Tensor, wave: Tensor) -> Tensor:
        out: Tensor = self.head(self.mix(self.words(words) + self.wave(wave).transpose(1, 2)))
        return out


torch.manual_seed(0)
NET, SIGNALS = Net().eval(), Signals().eval()
IMAGES = torch.randn(8, 3, 20, 20)
BOTH = {"words": torch.randint(0, 40, (4, 9)), "wave": torch.randn(4, 2, 9)}


def apart(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).detach().abs().max() / expected.detach().abs().max())


class TestLowRankSpace(SpaceContract):
    @pytest.fixture
    def space(self) -> LowRankSpace:
        return low_rank_space(NET, IMAGES, shares=(0.5, 0.25))


class TestAdapterSpace(SpaceContract):
    @pytest.fixture
    def space(self) -> AdapterSpace:
        return adapter_space(NET, IMAGES, ranks=(4, 2, 0), layers=["head", "body"])


@pytest.mark.parametrize("kind", [nn.Conv1d, nn.Conv2d, nn.Conv3d])
def test_columns_are_what_a_convolution_multiplies(kind: type[nn.Conv1d]) -> None:
    layer = kind(2, 5, 3, stride=2, padding=1, dilation=2, padding_mode="replicate")
    x = torch.randn(2, 2, *[9] * (layer.weight.ndim - 2))
    assert layer.bias is not None
    found = columns(layer, x) @ layer.weight.flatten(1).T + layer.bias
    torch.testing.assert_close(found, layer(x).movedim(1, -1).flatten(0, -2))


def test_members_have_the_best_approximation_of_each_rank() -> None:
    space = low_rank_space(NET, IMAGES, shares=(0.5, 0.1))
    assert space.ranks["head"] == [20, 5, 1] and space.fixed["groups"] == "its channels are in groups"
    assert apart(space.build(space.default)(IMAGES), NET(IMAGES)) == 0
    five = space.build(space.of_pattern({"head": 5}))
    assert isinstance(five.head, nn.Sequential)
    matrix = five.get_parameter("head.1.weight") @ five.get_parameter("head.0.weight")
    left, values, right = torch.linalg.svd(NET.head.weight, full_matrices=False)
    torch.testing.assert_close(matrix, left[:, :5] * values[:5] @ right[:5], atol=1e-5, rtol=1e-4)
    body = space.build(space.of_pattern({"body": space.ranks["body"][1]})).body
    assert isinstance(body, nn.Sequential) and body[0].dilation == (2, 2) and body[1].kernel_size == (1, 1)


def test_with_batches_outputs_are_approximated_rather_than_weights() -> None:
    torch.manual_seed(1)
    narrow = torch.randn(512, 4) @ torch.randn(4, 32)  # inputs that use 4 of 32 dimensions
    model = nn.Sequential(nn.Linear(32, 32))
    of_weights = low_rank_space(model, narrow, shares=(0.25,))
    of_outputs = low_rank_space(model, narrow, shares=(0.25,), batches=narrow.split(128))
    assert of_outputs.ranks["0"] == [32, 4] == of_weights.ranks["0"]
    lowest = {"0.rank": 4}
    assert apart(of_outputs.build(lowest)(narrow), model(narrow)) < 1e-3
    assert apart(of_weights.build(lowest)(narrow), model(narrow)) > 0.1
    assert of_weights.fingerprint != of_outputs.fingerprint


@pytest.mark.parametrize("with_batches", [False, True])
def test_ranks_are_nested_in_a_supernet(with_batches: bool) -> None:
    space = low_rank_space(SIGNALS, BOTH, batches=[BOTH] if with_batches else None)
    assert space.ranks.keys() == {"wave", "mix"} and space.fixed["head"] == "another layer has its weight"
    supernet = Supernet(space).eval()
    smallest, largest = space.bounds
    for arch in (smallest, largest, {**largest, "mix.rank": 3}):
        inherited = supernet(BOTH, arch)
        assert apart(inherited, space.build(arch)(**BOTH)) < 1e-5
        assert apart(supernet.extract(arch)(**BOTH), inherited) < 1e-5
    with torch.no_grad():
        supernet.net.get_parameter("mix.shared.0.weight")[0] += 1
    assert all(apart(supernet(BOTH, arch), space.build(arch)(**BOTH)) > 1e-3 for arch in (smallest, largest))
    copied = pickle.loads(pickle.dumps(space))
    assert copied.fingerprint == space.fingerprint
    assert apart(copied.build(smallest)(**BOTH), space.build(smallest)(**BOTH)) < 1e-5


def test_costs_are_those_of_the_layers() -> None:
    space = low_rank_space(NET, IMAGES)
    smallest, largest = space.bounds
    measurer = Measurer(space)
    given = sum(p.numel() for p in NET.parameters())
    assert measurer.candidate(largest, "shapes").params == given
    assert measurer.candidate(smallest, "shapes").params == sum(p.numel() for p in space.build(smallest).parameters())
    assert measurer.candidate(smallest, "shapes").macs < measurer.candidate(largest, "shapes").macs


def test_adapters_are_nested_and_the_given_weights_stay() -> None:
    space = adapter_space(NET, IMAGES, ranks=(4, 2, 0), keep=["out"])
    assert space.ranks.keys() == {"stem", "body", "head"}
    network = space.build(space.default)
    trained = [p for p in network.parameters() if p.requires_grad]
    assert space.n_trained(space.default) == sum(p.numel() for p in trained) == 4 * (27 + 16 + 144 + 24 + 24 + 20)
    assert apart(network(IMAGES), NET(IMAGES)) == 0
    supernet = Supernet(space).eval()
    optimizer = torch.optim.SGD([p for p in supernet.parameters() if p.requires_grad], 0.5)
    for _ in range(2):
        supernet(IMAGES, space.default).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    part = space.of_pattern({"stem": 2, "head": 0})
    assert apart(supernet(IMAGES, part), NET(IMAGES)) > 1e-3
    assert apart(supernet(IMAGES, space.of_pattern(dict.fromkeys(space.ranks, 0))), NET(IMAGES)) == 0
    found = supernet.extract(part)
    assert apart(found(IMAGES), supernet(IMAGES, part)) == 0
    assert [p.requires_grad for p in found.head.parameters()] == [False, False]  # type: ignore[union-attr]
    assert Measurer(space).value(trained_params(), part) == space.n_trained(part)


def test_the_given_model_is_the_teacher_of_its_members() -> None:
    space = low_rank_space(NET, IMAGES)
    teacher = Distillation(data="digits").teacher_of(space)
    assert apart(teacher(IMAGES), NET(IMAGES)) == 0


def test_a_pattern_is_a_configuration_of_peft() -> None:
    can_import_torchvision()  # transformers, which peft imports, stumbles over one for another torch
    peft = pytest.importorskip("peft")
    space = adapter_space(NET, IMAGES, ranks=(4, 2, 0), scale=1.5)
    pattern = space.of_pattern({"stem": 2, "head": 0})
    adapted = peft.get_peft_model(Net(), lora_config(space, pattern))
    found = {name.removeprefix("base_model.model."): m for name, m in adapted.named_modules() if hasattr(m, "lora_A")}
    assert {name: module.r["default"] for name, module in found.items()} == {"stem": 2, "body": 4, "out": 2}
    assert {module.scaling["default"] for module in found.values()} == {1.5}
    assert adapted.get_nb_trainable_parameters()[0] == space.n_trained(pattern)


def test_what_cannot_be_is_refused_in_one_line() -> None:
    with pytest.raises(SpaceError, match=r"'haed' names no layer of Net; did you mean 'head'"):
        low_rank_space(NET, IMAGES, keep=["haed"])
    with pytest.raises(SpaceError, match=r"no layer of Net has ranks .*groups: its channels are in groups"):
        low_rank_space(NET, IMAGES, layers=["groups"])
    with pytest.raises(SpaceError, match="Net does not run on the example inputs"):
        low_rank_space(NET, torch.zeros(1, 4))
    with pytest.raises(SettingError, match=r"shares must be above 0 and below 1, got 1\.5"):
        low_rank_space(NET, IMAGES, shares=(1.5,))
    with pytest.raises(SettingError, match=r"ranks must be different, at least two, got \(4, 4\)"):
        adapter_space(NET, IMAGES, ranks=(4, 4))
    with pytest.raises(SpaceError, match="must hold at least one batch"):
        low_rank_space(NET, IMAGES, batches=[])
    space = adapter_space(NET, IMAGES, ranks=(2, 0))
    pytest.importorskip("peft")
    with pytest.raises(SpaceError, match="there is no adapter"):
        lora_config(space, space.of_pattern(dict.fromkeys(space.ranks, 0)))


def test_inputs_may_be_described() -> None:
    described = {"words": TensorSpec((9,), torch.long, high=40), "wave": TensorSpec((2, 9))}
    space = low_rank_space(SIGNALS, BOTH, inputs=described)
    space.check(n_samples=2)
    assert functional.softmax(space.build(space.bounds[0])(**BOTH), -1).isfinite().all()
