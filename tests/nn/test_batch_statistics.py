import pytest
import torch
from torch import Tensor, nn

from raynas.nn import ElasticBatchNorm2d, recalibrate
from raynas.nn.batch_statistics import batch_statistics


def images(n: int = 3) -> Tensor:
    return torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(1))


class TestBatchStatistics:
    def test_normalises_by_the_batch_with_all_else_in_eval_mode(self) -> None:
        model = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.9))
        x = images(4) * 5 + 2
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        with batch_statistics(model):
            y = model(x)
        expected = nn.functional.batch_norm(x, None, None, training=True)
        torch.testing.assert_close(y, expected)
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
        assert all(module.training for module in model.modules())

    def test_restores_statistics_after_an_error(self) -> None:
        model = nn.Sequential(nn.BatchNorm2d(3), nn.Linear(5, 1)).eval()
        with pytest.raises(RuntimeError), batch_statistics(model):
            model(images())  # The linear layer refuses 8 features.
        state = model.state_dict()
        assert not state["0.running_mean"].any() and not state["0.num_batches_tracked"]
        assert not any(module.training for module in model.modules())

    def test_elastic_batch_norms_train_too(self) -> None:
        layer = ElasticBatchNorm2d(3).eval()
        with batch_statistics(layer):
            assert layer.training
        assert not layer.training


class TestRecalibrate:
    def test_gives_the_statistics_of_the_batches(self) -> None:
        model = nn.Sequential(nn.BatchNorm2d(3, momentum=0.3), nn.Dropout(0.9), nn.BatchNorm2d(3))
        batches = [images(4), images(4) + 1]
        recalibrate(model.train(), batches)
        first, second = model[0], model[2]
        assert isinstance(first, nn.BatchNorm2d) and isinstance(second, nn.BatchNorm2d)
        mean = torch.stack([b.mean((0, 2, 3)) for b in batches]).mean(0)
        torch.testing.assert_close(first.running_mean, mean)
        assert first.momentum == 0.3 and model.training
        torch.testing.assert_close(second.running_var, torch.ones(3) * 48 * 4 / (48 * 4 - 1) * 4 / 3, rtol=0.35, atol=0)

    def test_needs_a_batch(self) -> None:
        with pytest.raises(ValueError, match="at least one batch"):
            recalibrate(nn.Sequential(nn.BatchNorm2d(3)), [])

    def test_what_is_not_reached_stays(self) -> None:
        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.aux = nn.BatchNorm2d(3)  # The first one, and used in training only.
                self.norm = nn.BatchNorm2d(3)

            def forward(self, x: Tensor) -> Tensor:
                out: Tensor = self.norm(x)
                return out + self.aux(x) if self.training else out

        net = Net()
        nn.init.constant_(net.aux.running_mean, 5.0)  # type: ignore[arg-type]
        x = torch.randn(4, 3, 4, 4)
        recalibrate(net, [x])
        torch.testing.assert_close(net.norm.running_mean, x.mean((0, 2, 3)))
        torch.testing.assert_close(net.aux.running_mean, torch.full((3,), 5.0))

    def test_a_network_without_batch_norm_needs_none(self) -> None:
        net = nn.Linear(1, 1)
        before = net.weight.clone()
        recalibrate(net, [])
        assert torch.equal(net.weight, before) and net.training
