"""Architectures that inherit weights: the same function if they only grew, and notes on changes of it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from raynas.errors import RaynasError, SpaceError
from raynas.nn.morphism.lineage import inherit_architecture, inherit_between
from tests.nn.morphism.families import ARCH, SPACE, Arch, inherited, parent_of, result

torch.set_num_threads(1)


pytestmark = pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")  # torch warns on every one.


@pytest.mark.parametrize(
    ("change", "widened", "passing"),
    [
        ({}, (), ()),
        ({"stem": "w6"}, ("stem",), ()),
        ({"kernel": "k5"}, (), ()),
        ({"plain": 3}, (), ("plain.1", "plain.2")),
        ({"blocks": 2}, (), ("blocks.1",)),
        ({"stem": "w6", "kernel": "k5", "plain": 2, "blocks": 2}, ("stem",), ("plain.1", "blocks.1")),
    ],
)
def test_what_grew_computes_the_same(change: Arch, widened: tuple[str, ...], passing: tuple[str, ...]) -> None:
    report, parent, child, x = inherited(change)
    assert (report.widened, report.passing, report.notes) == (widened, passing, ())
    torch.testing.assert_close(result(child, x), result(parent, x), atol=1e-5, rtol=1e-5)
    child.train()(x).sum().backward()
    assert all(parameter.grad is not None for parameter in child.parameters())


def test_another_option_stays_fresh_and_the_rest_keeps_its_weights() -> None:
    torch.manual_seed(5)
    parent = SPACE.build({**ARCH, "kernel": "pool"})
    torch.manual_seed(6)
    child = SPACE.build(ARCH)
    report = inherit_between(SPACE, {**ARCH, "kernel": "pool"}, parent.state_dict(), ARCH, child)
    assert report.partly == () and all(name.startswith("kernel.") for name in report.fresh)
    assert len(report.fresh) == 6  # a weight and the five tensors of a batch norm
    state = parent.state_dict()
    assert all(torch.equal(child.state_dict()[name], state[name]) for name in report.whole)


def test_what_shrank_keeps_the_overlap() -> None:
    parent, _ = parent_of(arch={**ARCH, "stem": "w6", "plain": 2})
    child = inherit_architecture(SPACE, {**ARCH, "stem": "w6", "plain": 2}, parent, ARCH)
    assert torch.equal(child.get_parameter("stem.weight"), parent.get_parameter("stem.weight")[:4])
    assert torch.equal(child.get_parameter("mix.weight"), parent.get_parameter("mix.weight")[:, :4])
    assert torch.equal(child.get_parameter("plain.0.0.weight"), parent.get_parameter("plain.0.0.weight"))


def test_the_result_follows_from_the_seed() -> None:
    parent, _ = parent_of()

    def weights(seed: int) -> Callable[[str], Tensor]:
        torch.manual_seed(0)
        child = inherit_architecture(SPACE, ARCH, parent, {**ARCH, "stem": "w6"}, seed=seed)
        return child.get_parameter

    assert torch.equal(weights(0)("stem.weight"), weights(0)("stem.weight"))
    assert any(not torch.equal(weights(0)("stem.weight"), weights(seed)("stem.weight")) for seed in range(1, 6))


def test_the_parents_weights_must_be_those_of_its_architecture() -> None:
    parent, _ = parent_of()
    with pytest.raises(RaynasError, match="not those of the parent's architecture"):
        inherit_architecture(SPACE, {**ARCH, "stem": "w6"}, parent, ARCH)
    with pytest.raises(SpaceError, match="no decision 'depth'"):
        inherit_architecture(SPACE, {"depth": 1}, parent, ARCH)
