"""Kinds of layers whose channels morphisms can change."""

from torch import nn

Conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
Norm = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
)
"""Normalisations that treat each channel separately."""


def is_depthwise(module: nn.Module) -> bool:
    """Return whether a module is a convolution with groups; of these only depthwise ones can be widened."""
    return isinstance(module, Conv) and module.groups > 1
