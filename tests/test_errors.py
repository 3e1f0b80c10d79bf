"""Messages about names that are not known."""

import pytest

from raynas.errors import UnknownNameError, UnreportedMetricError, did_you_mean


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("acuracy", "; did you mean 'accuracy'?"),
        ("LATENCY_MS", "; did you mean 'latency_ms'?"),
        ("Val/Loss", "; did you mean 'Val/loss'?"),
        ("energy", ""),
        ("", ""),
    ],
)
def test_the_nearest_name_is_proposed(name: str, expected: str) -> None:
    assert did_you_mean(name, ["accuracy", "latency_ms", "Val/loss"]) == expected
    assert did_you_mean(name, []) == ""


def test_errors_propose_it_in_front_of_what_is_known() -> None:
    assert str(UnknownNameError("space", "cnm", ["mlp", "cnn"])) == (
        "unknown space 'cnm'; did you mean 'cnn'? Known: cnn, mlp."
    )
    assert str(UnknownNameError("space", "x", [])) == "unknown space 'x'. Known: none."
    assert "did you mean 'val/loss'?" in str(UnreportedMetricError("val_loss", ["accuracy", "val/loss"]))
    assert "did you mean 'params'?" in str(UnreportedMetricError("parms", ["accuracy"], ["params"]))
