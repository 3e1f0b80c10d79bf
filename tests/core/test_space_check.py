import pytest
import torch
from torch import Tensor, nn

from raynas.core.architecture import Architecture
from raynas.core.inputs import Arguments
from raynas.core.space_check import MemberRun, check_members
from raynas.errors import SpaceError

ARCHS = [Architecture({"a": a, "b": b}) for a in (0, 1) for b in (0, 1)]


def test_options_that_also_work_are_not_blamed() -> None:
    def run(arch: Architecture) -> None:
        if arch["a"] == 1:
            raise RuntimeError("too deep")

    with pytest.raises(
        SpaceError, match=r"Mine: 2 members .*: RuntimeError: too deep \(run in .*; options .*: a=1; first: "
    ) as error:
        check_members("Mine", ARCHS, run)
    assert isinstance(error.value.__cause__, RuntimeError)


def test_a_combination_can_be_to_blame() -> None:
    def run(arch: Architecture) -> None:
        if arch["a"] and arch["b"]:
            raise RuntimeError

    with pytest.raises(SpaceError, match=r"1 members .* none \(a combination breaks\)"):
        check_members("Mine", ARCHS, run)


def test_all_is_well() -> None:
    check_members("Mine", ARCHS, lambda arch: None)


class Branching(nn.Module):
    """Takes one of two branches, by a number in its input; the second one does not fit."""

    def __init__(self, a: object) -> None:
        super().__init__()
        self.negative = a == 1
        self.linear = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        if float(x.mean()) < 0 or self.negative:
            x = torch.cat([x, x])  # two lines below the one that breaks
            x = x.flatten()
        out: Tensor = self.linear(x)
        return out


class TestMemberRun:
    def run(self) -> tuple[MemberRun, list[str]]:
        devices: list[str] = []

        def build(arch: Architecture) -> nn.Module:
            devices.append(torch.empty(0).device.type)
            return Branching(arch["a"])

        return MemberRun(build, lambda device: [Arguments((torch.ones(2, 3, device=device),))]), devices

    def test_values_are_computed_where_meta_cannot(self) -> None:
        run, devices = self.run()
        before = torch.get_rng_state()
        check_members("Mine", [arch for arch in ARCHS if arch["a"] == 0], run)
        assert devices == ["meta", "cpu", "cpu"], "once it is clear that they are needed, at once"
        assert torch.equal(torch.get_rng_state(), before)

    def test_the_cause_is_the_line_of_the_model_before_the_options(self) -> None:
        with pytest.raises(SpaceError) as error:
            check_members("Mine", ARCHS, self.run()[0])
        message = str(error.value)
        assert "(forward in test_space_check.py, line" in message and "out: Tensor = self.linear(x))" in message
        assert message.index("shapes cannot be multiplied") < message.index("options that only these have: a=1")
        assert "meta" not in message, "the branch on a number in a tensor is no fault"

    def test_without_memory_for_values_the_first_error_is_said(self) -> None:
        def build(arch: Architecture) -> nn.Module:
            return nn.Sequential(Branching(0), nn.Linear(10**7, 10**8))

        run = MemberRun(build, lambda device: [Arguments((torch.ones(2, 3, device=device),))])
        with pytest.raises(RuntimeError, match="meta"):
            run(ARCHS[0])
