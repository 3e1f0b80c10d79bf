"""Cells in the paper's notation."""

import numpy as np
import pytest

from raynas.core.architecture import Architecture, Option
from raynas.errors import SpaceError
from raynas.search_spaces.darts import DARTS
from raynas.search_spaces.darts_genotype import from_genotype, to_genotype
from tests.search_spaces.test_darts import DARTS_V2, SMALL


def test_reads_the_papers_notation() -> None:
    arch = from_genotype(DARTS_V2)
    assert arch["normal.2.inputs"] == "0+1"
    assert (arch["normal.2.op_0"], arch["normal.2.op_1"]) == ("skip_connect", "sep_conv_3x3")
    assert (arch["reduce.3.inputs"], arch["reduce.3.op_2"]) == ("1+2", "skip_connect")
    assert DARTS().canonical(arch) == arch


def test_notation_round_trip() -> None:
    for space in (DARTS(), SMALL):
        rng = np.random.default_rng(0)
        for arch in (space.sample(rng) for _ in range(20)):
            assert from_genotype(to_genotype(arch)) == arch


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot read"),
        ("Genotype(normal=[], reduce=[])", "two edges"),
        ("Genotype(normal=[('skip_connect', 0)], reduce=[('skip_connect', 0)])", "two edges"),
        (DARTS_V2.replace("reduce=", "reduction="), "cannot read"),
        (DARTS_V2.replace("range(2, 6)", "range(3, 6)"), "reduce_concat must name each node"),
        (DARTS_V2.replace("dil_conv_3x3', 2", "dil_conv_3x3', 5"), r"node normal.3 must be \(operation, state\)"),
        (DARTS_V2.replace("dil_conv_3x3", "none"), "one of max_pool_3x3"),
        (DARTS_V2.replace("dil_conv_3x3', 2", "dil_conv_3x3', 0"), "two different states"),
        (DARTS_V2.replace("('skip_connect', 0), ('dil_conv_3x3', 2)", ""), "equally many"),
        ("__import__('os').system('true')", "cannot read"),
        ("Genotype(normal=__import__('os'), reduce=[])", "cannot read"),
        ("Genotype(normal=range(1, 2, 3, 4), reduce=[])", "cannot read"),
        ("Genotype(normal=3, reduce=[])", "cannot read"),
    ],
)
def test_refuses_what_is_no_genotype(text: str, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        from_genotype(text)


@pytest.mark.parametrize("change", [{"normal.0.op_0": "none"}, {"more": 1}])
def test_does_not_write_what_is_no_member(change: dict[str, Option]) -> None:
    with pytest.raises(SpaceError):
        to_genotype({**from_genotype(DARTS_V2), **change})
    with pytest.raises(SpaceError):
        to_genotype(Architecture({}))
