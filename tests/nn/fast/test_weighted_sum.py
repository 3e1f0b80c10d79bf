import pytest
import torch
from torch import nn

from raynas.nn.fast.mixed_operation import mixed
from tests.nn.fast.operations import C, separable


def test_batch_norm_of_a_single_value_is_refused_as_pytorch_does() -> None:
    with pytest.raises(ValueError, match=r"more than (one|1) value per channel"):
        mixed([nn.Sequential(*separable(3))], torch.ones(1), torch.randn(1, C, 1, 1))


def test_the_type_of_the_sum_is_that_of_the_plain_one() -> None:
    x = torch.randn(2, C, 6, 6)
    conv = nn.Sequential(*separable(3))
    for ops in ([conv], [conv, nn.Identity()], [nn.Identity(), conv]):
        for autocast in (False, True):
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                types = [mixed(ops, torch.ones(len(ops)), x, fused=fused).dtype for fused in (False, True)]
            assert types[0] == types[1]
