"""Batch norms of data-parallel training, whose statistics are those of the whole batch of all workers."""

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm


def share_statistics(model: nn.Module) -> nn.Module:
    """Let the batch norms of a model see the whole batch; keep their names, parameters and buffers.

    On GPUs they become torch's ``SyncBatchNorm``, which knows no CPU; there they become ``CpuSyncBatchNorm``.

    Args:
        model: on its device; changed in place where it is no batch norm itself.
    """
    on_gpu = any(tensor.is_cuda for tensor in model.state_dict().values())
    if on_gpu:
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-any-return]
    for module in model.modules():
        if type(module) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
            module.__class__ = CpuSyncBatchNorm  # hooks and links to it stay
    return model


class CpuSyncBatchNorm(_BatchNorm):
    """A batch norm for CPUs over the examples of all workers of the process group."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Take any: the batch norm that this one was has been chosen for its inputs."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalize inputs of shape ``(batch, channels, ...)``."""
        if not self.training:
            return super().forward(input)
        x = input.float()
        dims = [0, *range(2, x.ndim)]
        shape = (1, -1, *(1,) * (x.ndim - 2))
        size = torch.full((1,), x.numel() / x.shape[1])
        total: Tensor = _SumOverWorkers.apply(torch.cat([x.sum(dims), size]))
        n = float(total[-1].detach())
        mean = total[:-1] / n
        centered = x - mean.view(shape)
        var: Tensor = _SumOverWorkers.apply(centered.square().sum(dims)) / n
        self._track(mean.detach(), var.detach() * n / max(n - 1, 1))
        out = centered * torch.rsqrt(var + self.eps).view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out.to(input.dtype)

    def _track(self, mean: Tensor, var: Tensor) -> None:
        """Update the running statistics, as ``functional.batch_norm`` does."""
        if not self.track_running_stats or self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(var.to(self.running_var.dtype), share)


class _SumOverWorkers(torch.autograd.Function):
    """The sum over all workers; so is its gradient, as each worker's loss depends on it."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        total = own.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].contiguous().clone()
        distributed.all_reduce(total)
        return total
