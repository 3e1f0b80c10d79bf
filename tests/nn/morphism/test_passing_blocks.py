import pytest
import torch

from raynas.nn.morphism.lineage import inherit_between
from tests.nn.morphism.families import ARCH, SPACE, inherited, parent_of

torch.set_num_threads(1)


pytestmark = pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")  # torch warns on every one.


def test_a_new_block_that_cannot_be_the_identity_says_so() -> None:
    report, _, child, _ = inherited({"squashing": 2})
    assert report.passing == ()
    assert report.notes == (
        "block squashing.1 is new and keeps its fresh weights: no setting of them gives the identity",
    )
    torch.manual_seed(1)
    assert float(child.get_parameter("squashing.1.0.weight").detach().std()) > 0.1  # neither zeros nor the identity
    assert report.fresh == ("squashing.1.0.weight", "squashing.1.0.bias")


def test_a_block_that_sees_nothing_but_zeros_is_not_taken_for_the_identity() -> None:
    parent, example = parent_of()
    with torch.no_grad():
        parent.get_parameter("plain.0.1.weight").zero_()
        parent.get_parameter("plain.0.1.bias").fill_(-1.0)
    child = SPACE.build({**ARCH, "plain": 2})
    report = inherit_between(SPACE, ARCH, parent, {**ARCH, "plain": 2}, child, input_example=example)
    assert report.passing == () and len(report.notes) == 1
    assert child.get_parameter("plain.1.1.weight").tolist() == [1.0] * 5  # as it was made
