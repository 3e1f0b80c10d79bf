import pytest
import torch
from torch import nn

from raynas.errors import SpaceError
from raynas.nn import Choice
from tests.nn.materialised import materialised


class TestChoice:
    @pytest.mark.parametrize("label", ["", "a/b"])
    def test_refuses_a_label_that_tune_cannot_hold(self, label: str) -> None:
        with pytest.raises(SpaceError, match="label"):
            Choice({"a": nn.Identity}, label=label)

    def test_refuses_a_factory_that_makes_no_module(self) -> None:
        with pytest.raises(SpaceError, match=r"factory of 'a' must return an nn\.Module, got int"):
            materialised(Choice({"a": lambda: 3}), "a")  # type: ignore[dict-item, return-value]

    def test_forward_says_how_to_build(self) -> None:
        with pytest.raises(SpaceError, match=r"Choice is not decided yet: .*space\.build\(arch\)"):
            nn.Sequential(Choice({"a": nn.Identity}))(torch.zeros(1))
