import pytest

from raynas.core.architecture import Architecture
from raynas.core.space_check import check_members
from raynas.errors import SpaceError

ARCHS = [Architecture({"a": a, "b": b}) for a in (0, 1) for b in (0, 1)]


def test_options_that_also_work_are_not_blamed() -> None:
    def run(arch: Architecture) -> None:
        if arch["a"] == 1:
            raise RuntimeError("too deep")

    with pytest.raises(SpaceError, match=r"Mine: 2 members .* only these have: a=1; first: .*too deep") as error:
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
