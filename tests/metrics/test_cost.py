import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from raynas.core.architecture import Architecture, Option
from raynas.core.decision import Decision, Integer
from raynas.core.inputs import TensorSpec
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError, UnknownNameError
from raynas.metrics import MetaModels, count_activations, count_macs, count_params, size_on_disk, untrained_metrics
from tests.torchvision_here import can_import_torchvision


class Widths(SearchSpace):
    """One linear layer of a chosen width; counts its builds."""

    input_shape = (10,)

    def __init__(self) -> None:
        self.built: list[str] = []

    @property
    def decisions(self) -> Sequence[Decision]:
        return [Integer("width", 1, 100)]

    def build(self, arch: Mapping[str, Option]) -> nn.Module:
        self.built.append(torch.empty(0).device.type)
        return nn.Linear(10, int(arch["width"]))


def wide(width: int) -> Architecture:
    return Architecture({"width": width})


class Scaled(nn.Module):
    """Uses an operation in place, a view, a constant made on the way and a tensor multiplied by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.linear(x.view(-1, 4)).relu_()
        x += torch.arange(4)
        return x.t() @ x


class TestCountParams:
    def test_counts_frozen_ones_and_shared_ones_once(self) -> None:
        tied = nn.Linear(3, 3)
        tied.weight.requires_grad_(False)
        assert count_params(nn.Sequential(tied, nn.ReLU(), tied)) == 12

    def test_leaves_buffers_out(self) -> None:
        assert count_params(nn.BatchNorm2d(5)) == 10


class TestCountMacs:
    @pytest.mark.parametrize(
        ("model", "shape", "expected"),
        [
            (nn.Linear(3, 5, bias=False), (3,), 15),
            (nn.Linear(3, 5), (3,), 15 + 5),
            (nn.Linear(3, 5), (7, 3), 7 * (15 + 5)),
            (nn.Conv2d(4, 6, 3, bias=False), (4, 5, 5), 9 * 4 * 6 * 9),
            (nn.Conv2d(4, 6, 3, padding=1, stride=2), (4, 5, 5), 9 * (9 * 4 * 6 + 6)),
            (nn.Conv2d(4, 8, 3, groups=4, bias=False), (4, 5, 5), 9 * 9 * 8),
            (nn.Conv1d(4, 6, 3, bias=False), (4, 5), 3 * 3 * 4 * 6),
            (nn.ConvTranspose2d(4, 6, 2, stride=2, bias=False), (4, 3, 3), 9 * 4 * 4 * 6),
            (nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), nn.AvgPool2d(2), nn.MaxPool2d(2)), (4, 8, 8), 0),
            (Scaled(), (2, 4), 2 * 16 + 4 * 2 * 4),
            (nn.LSTM(4, 5), (7, 4), 7 * 4 * 5 * (4 + 5 + 2)),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
    )
    def test_by_hand(self, model: nn.Module, shape: tuple[int, ...], expected: int) -> None:
        if isinstance(model, nn.LSTM):
            model.batch_first = True
        assert count_macs(model, shape) == expected

    def test_agrees_with_torch_where_nothing_has_a_bias(self) -> None:
        layers = [
            m for i in range(4) for m in (nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3), nn.GELU())
        ]
        attention = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, bias=False)
        model = nn.Sequential(*layers, nn.Flatten(2), attention, nn.AdaptiveAvgPool1d(5)).eval().to("meta")
        with FlopCounterMode(display=False) as counter:
            model(torch.zeros(1, 3, 4, 4, device="meta"))
        assert count_macs(model, (3, 4, 4)) == counter.get_total_flops() / 2

    def test_tells_alike_operations_on_different_tensors_apart(self) -> None:
        class Alike(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.linear = nn.Linear(4, 1, bias=False)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                numbers = torch.arange(4)
                _whole, fractions = numbers + 1, numbers + 1.0  # Equal shapes, but another type.
                _turned, straight = x[0].t() + 0, x[0] + 0  # Equal shapes, but only one can be viewed as a line.
                used = straight.view(16).view(4, 4) if fractions.is_floating_point() else x[0].repeat(2, 1)
                out: torch.Tensor = self.linear(used)
                return out

        assert count_macs(Alike(), (4, 4)) == 4 * 4

    def test_is_for_one_example_of_eval_mode(self) -> None:
        class Auxiliary(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.main, self.extra = nn.Linear(3, 2, bias=False), nn.Linear(3, 9)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                out: torch.Tensor = self.main(x) + (self.extra(x).sum() if self.training else 0)
                return out

        assert count_macs(Auxiliary(), (3,)) == 6

    def test_leaves_the_model_as_it_was(self) -> None:
        model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5))
        model[1].eval()
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        count_macs(model, (1, 4, 4))
        assert [module.training for module in model] == [True, False, True]
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())

    def test_restores_training_mode_when_the_model_fails(self) -> None:
        model = nn.Linear(3, 2)
        with pytest.raises(RaynasError, match=r"multiply-adds of Linear cannot be counted: RuntimeError: .*shapes"):
            count_macs(model, (4,))
        assert model.training and model.weight.device.type == "cpu"

    def test_does_not_depend_on_the_callers_mode(self) -> None:
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 2))
        expected = 4 * (27 * 4 + 4) + 17 * 2
        with torch.inference_mode():
            assert count_macs(model, (3, 4, 4)) == expected
        with torch.device("meta"):
            assert count_macs(model, (3, 4, 4)) == expected
        assert count_macs(model.half(), (3, 4, 4)) == expected

    def test_computes_nothing(self) -> None:
        huge = nn.Linear(10**6, 10**6, device="meta")
        assert count_macs(huge, (10**6,)) == 10**12 + 10**6

    def test_a_model_that_reads_values_is_computed(self) -> None:
        class Reading(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.rnn, self.attention = nn.LSTM(4, 5, batch_first=True), nn.MultiheadAttention(5, 1, bias=False)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                y = self.rnn(x)[0]
                out: torch.Tensor = self.attention(y, y, y)[0] if x.sum().item() > -1e9 else y
                return out

        model = Reading()
        lstm, attention = 3 * 4 * 5 * (4 + 5 + 2), 4 * 3 * 5 * 5 + 3 * 2 * 5  # three steps, each a batch of its own
        assert count_macs(model, (3, 4)) == lstm + attention
        with torch.device("meta"):
            bare = Reading()
        with pytest.raises(
            RaynasError, match=r"Reading cannot run on the meta device, where .*forward in test_cost.py"
        ):
            count_macs(bare, (3, 4))

    def test_parts_at_two_places_count_for_each_call_and_stay_as_they_are(self) -> None:
        class Twice(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.left = self.right = nn.Linear(3, 3, bias=False)
                self.tokens, self.head = nn.Embedding(7, 3), nn.Linear(3, 7, bias=False)
                self.head.weight = self.tokens.weight
                self.shift, self.calls = torch.zeros(3), [0]

            def forward(self, ids: torch.Tensor) -> torch.Tensor:
                x = self.tokens(ids) + self.shift
                self.scale = x.mean()
                out: torch.Tensor = self.head(self.right(self.left(x)))
                return out

        model = Twice().train()
        model.head.weight.grad = torch.ones(7, 3)
        parts, before = dict(model.named_modules(remove_duplicate=False)), dict(vars(model))
        tensors = dict(model.named_parameters(remove_duplicate=False))
        values = {name: tensor.clone() for name, tensor in tensors.items()}
        assert count_macs(model, TensorSpec((5,), torch.long, high=7)) == 5 * (9 + 9 + 21)
        assert count_params(model) == 9 + 21
        assert all(vars(model)[name] is value for name, value in before.items()) and not hasattr(model, "scale")
        assert dict(model.named_modules(remove_duplicate=False)) == parts and model.training
        after = dict(model.named_parameters(remove_duplicate=False))
        assert all(after[name] is tensor and torch.equal(tensor, values[name]) for name, tensor in tensors.items())
        assert model.head.weight is model.tokens.weight and model.tokens.weight.grad is not None

    def test_of_mobilenet_is_the_published_one(self) -> None:
        if not can_import_torchvision():
            pytest.skip("torchvision is not installed")
        from torchvision.models import mobilenet_v3_large

        with torch.device("meta"):
            model = mobilenet_v3_large()
        assert count_params(model) == 5_483_032
        assert count_macs(model, (3, 224, 224)) / 1e6 == pytest.approx(216.6, abs=0.05)


class TestCountActivations:
    @pytest.mark.parametrize(
        ("model", "shape", "expected"),
        [
            (nn.Linear(3, 5), (7, 3), 7 * 5),
            (nn.Conv2d(4, 6, 3, bias=False), (4, 5, 5), 9 * 6),
            (nn.Sequential(nn.Conv2d(4, 8, 3, groups=4), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3)), (4, 5, 5), 72),
            (nn.ConvTranspose2d(4, 6, 2, stride=2), (4, 3, 3), 36 * 6),
            (Scaled(), (2, 4), 2 * 4 + 4 * 4),
            (nn.ReLU(), (9,), 0),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
    )
    def test_by_hand(self, model: nn.Module, shape: tuple[int, ...], expected: int) -> None:
        assert count_activations(model, shape) == expected

    def test_is_for_one_example_and_counts_every_call(self) -> None:
        layer = nn.Linear(3, 3)
        assert count_activations(nn.Sequential(layer, layer, layer), (3,)) == 9

    def test_of_resnet_is_the_published_one(self) -> None:
        if not can_import_torchvision():
            pytest.skip("torchvision is not installed")
        from torchvision.models import resnet50

        with torch.device("meta"):
            model = resnet50()
        # Radosavovic et al. (CVPR 2020) count those of convolutions; here 1000 of the linear layer are added.
        assert count_activations(model, (3, 224, 224)) / 1e6 == pytest.approx(11.1, abs=0.05)


class TestSizeOnDisk:
    def test_is_that_of_a_file_but_for_its_names(self, tmp_path: Path) -> None:
        model = nn.Sequential(nn.Linear(200, 300), nn.BatchNorm1d(300), nn.Linear(300, 200, bias=False))
        for network in (model, model.half()):
            torch.save(network.state_dict(), tmp_path / "weights.pt")
            assert 0 < (tmp_path / "weights.pt").stat().st_size - size_on_disk(network) < 8000

    def test_has_the_size_of_each_type(self) -> None:
        model = nn.BatchNorm1d(10)  # four tensors of ten, and a whole number
        assert size_on_disk(model) == 4 * 40 + 8
        assert size_on_disk(model.to(torch.bfloat16)) == 4 * 20 + 8
        assert size_on_disk(model.to("meta")) == 4 * 20 + 8

    def test_tied_weights_count_once_and_passing_buffers_not_at_all(self) -> None:
        first, second = nn.Linear(5, 5, bias=False), nn.Linear(5, 5, bias=False)
        second.weight = first.weight
        second.register_buffer("mask", torch.zeros(100), persistent=False)
        assert size_on_disk(nn.Sequential(first, second)) == 100


class TestUntrainedMetrics:
    def test_names_params_and_macs(self) -> None:
        metrics = untrained_metrics(Widths())
        assert set(metrics) >= {"params", "macs", "activations", "inference_memory_mb", "size_mb"}
        assert metrics["activations"](wide(3)) == 3 and metrics["size_mb"](wide(3)) == 33 * 4 / 1e6
        assert metrics["inference_memory_mb"](wide(3)) == (10 + 3) * 4 / 1e6
        assert metrics["params"](wide(3)) == 33 and metrics["macs"](wide(3)) == 33
        assert metrics["params"](wide(4)) == 44 and metrics["macs"](wide(5)) == 55

    def test_share_one_build_on_meta(self) -> None:
        space = Widths()
        metrics = untrained_metrics(space, ["macs", "params"])
        for width in (3, 4):
            for metric in metrics.values():
                metric(wide(width))
        assert space.built == ["meta", "meta"]

    def test_two_spaces_do_not_mix(self) -> None:
        first, second = untrained_metrics(Widths()), untrained_metrics(Widths())
        assert (first["params"](wide(1)), second["params"](wide(2)), first["params"](wide(1))) == (11, 22, 11)

    def test_gives_those_asked_for(self) -> None:
        assert list(untrained_metrics(Widths(), ["macs"])) == ["macs"]

    def test_an_unknown_name_lists_the_known(self) -> None:
        with pytest.raises(UnknownNameError, match="unknown metric 'mac'; did you mean 'macs'"):
            untrained_metrics(Widths(), ["mac"])

    def test_pickle_without_the_network(self) -> None:
        models = MetaModels(Widths())
        models(wide(100))
        copy = pickle.loads(pickle.dumps(models))
        assert copy.macs(wide(3)) == 33
        assert len(copy.space.built) == 2  # The copied space had one build; the copy had to make its own.
