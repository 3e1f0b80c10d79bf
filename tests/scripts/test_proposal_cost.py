"""The benchmark of proposals, at its smallest."""

import json

import pytest

from scripts.bench.proposal_cost import main


def test_it_prints_both_tables_and_the_ratios(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--quick", "--spaces", "cnn"])
    *lines, last = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if line.startswith("| cnn")]
    assert [row.count("|") for row in rows] == [4, 4, 5]
    (ratio,) = json.loads(last)["ratios"].values()
    assert ratio > 0
