"""The space of a single supernet."""

from raynas.nn import Supernet
from raynas.oneshot import SinglePath
from raynas.trials.supernet.space import SupernetSpace
from tests.trials.supernet.small import SPACE


def test_its_only_member_is_the_supernet() -> None:
    space = SupernetSpace(SPACE, SinglePath())
    (arch,) = space.enumerate()
    assert dict(arch) == {"method": "SinglePath"} and space.fingerprint == SPACE.fingerprint
    supernet = space.build(arch)
    assert isinstance(supernet, Supernet)
    assert space.params(arch) == sum(p.numel() for p in supernet.parameters())
