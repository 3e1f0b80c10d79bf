"""The span of a converted space before any training, and limits on it."""

import pytest
import torch
from torch import nn

from raynas import Metric
from raynas.converting import ConvertedSpace, convert
from raynas.core.architecture import Architecture
from raynas.errors import RaynasError, SettingError


@pytest.fixture(scope="module")
def space() -> ConvertedSpace:
    """Widths of 8 to 32 and of 8 to 16: 4 * 8 + 8 * 8 + 8 * 2 = 112 to 4 * 32 + 32 * 16 + 16 * 2 = 672 weights."""
    layers = (nn.Linear(4, 32, bias=False), nn.ReLU(), nn.Linear(32, 16, bias=False), nn.Linear(16, 2, bias=False))
    return convert(nn.Sequential(*layers), torch.rand(2, 4), vary=None)


def width(candidate: object) -> float:
    return float(candidate.arch["0.width"])  # type: ignore[attr-defined]


def test_members(space: ConvertedSpace) -> None:
    profile = space.profile()
    assert profile.n_members == space.size == 6
    assert {name: values["params"] for name, values in profile.members.items()} == {
        "smallest": 4 * 16 + 16 * 8 + 8 * 2,
        "middle": 4 * 24 + 24 * 16 + 16 * 2,  # of two options the smaller and the larger one in turn
        "largest": 672,
    }
    assert all(values["macs"] == values["params"] for values in profile.members.values())
    assert all(values["latency_ms"] > 0 for values in profile.members.values())
    assert not profile.verdicts and profile.can_be_met
    assert str(profile).splitlines()[4].split()[:3] == ["largest", "672", "672"]
    assert "Can the limits" not in str(profile)


@pytest.mark.parametrize(
    ("limit", "answer", "reason"),
    [
        ("macs <= 208", "yes", "the smallest member has 208"),
        ("macs < 208", "no", "the smallest member has 208, and no other has less"),
        ("params >= 672", "yes", "the largest member has 672"),
        ("params > 672", "no", "the largest member has 672, and no other has more"),
        ("macs <= 0.5 * baseline", "yes", "macs <= 336 here, and the smallest member has 208"),
        ("macs <= 0.2 * baseline soft", "no", "macs <= 134.4 soft here, and the smallest member has 208"),
        ("latency_ms <= 1e-9", "unlikely", "and the others measured break it too"),
        ("latency_ms <= 1e9", "yes", "the smallest member has"),
        ("accuracy >= 0.9", "unknown", "only a training gives accuracy"),
        ("mac <= 10", "unknown", "did you mean 'macs'?"),
    ],
)
def test_one_limit(space: ConvertedSpace, limit: str, answer: str, reason: str) -> None:
    profile = space.profile(limit)
    (verdict,) = profile.verdicts
    assert verdict.answer == answer and reason in verdict.reason
    assert profile.can_be_met is (answer != "no")
    assert f"{verdict.limit}: {answer}, " in str(profile)


@pytest.mark.parametrize(
    ("limits", "answer", "reason"),
    [
        (["macs <= 300", "params <= 208"], "yes", "the smallest member meets all"),
        (["macs <= 300", "params >= 673"], "no", "as one of them alone"),
        (["macs <= 500", "macs >= 400"], "yes", "a member between has macs 400"),  # (16, 16): 64 + 256 + 32 is 352
        (["macs <= 399", "macs >= 353"], "unknown", "no member that was measured meets all"),
        (["macs <= 300", "accuracy >= 0.5"], "unknown", "as one of them alone"),
    ],
)
def test_limits_together(space: ConvertedSpace, limits: list[str], answer: str, reason: str) -> None:
    *_, verdict = space.profile(limits).verdicts
    assert (verdict.limit, verdict.answer) == ("all together", answer)
    assert reason in verdict.reason


def test_a_metric_of_the_users(space: ConvertedSpace) -> None:
    profile = space.profile("width <= 16", metrics=[Metric(name="width", mode="min", unit="px", measure=width)])
    assert [values["width"] for values in profile.members.values()] == [16, 24, 32]
    assert profile.verdicts[0].answer == "yes" and "16 px" in str(profile)


def test_devices(space: ConvertedSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RaynasError, match="latency_ms is measured on a GPU, and this process sees none"):
        space.profile(device="cuda")
    with pytest.raises(SettingError, match="device must be one of torch's, such as cpu or cuda, got 'gpu'"):
        space.profile(device="gpu")


def test_a_limit_that_cannot_be_read(space: ConvertedSpace) -> None:
    with pytest.raises(SettingError, match="cannot read constraint 'macs = 3'"):
        space.profile("macs = 3")


def test_bounds(space: ConvertedSpace) -> None:
    assert space.bounds == (
        Architecture({"0.width": 16, "2.width": 8}),
        Architecture({"0.width": 32, "2.width": 16}),
    )
