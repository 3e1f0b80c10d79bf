import pytest

from raynas.errors import SettingError
from raynas.metrics.latency_predictor.measured import DeviceLatencies
from tests.metrics.latency_predictor.made_up import cells


@pytest.mark.parametrize("ms", [[1.0, 0.0], [1.0, float("nan")], [1.0, float("inf")], [-1.0, 2.0]])
def test_latencies_are_positive_numbers(ms: list[float]) -> None:
    with pytest.raises(SettingError, match="'phone' must be positive numbers"):
        DeviceLatencies(device="phone", archs=cells(2), ms=ms)


def test_each_network_has_one() -> None:
    first, second = cells(2)
    for archs, ms in (([], []), ([first, second], [1.0]), ([first, first], [1.0, 2.0])):
        with pytest.raises(SettingError, match="one for each of some different networks"):
            DeviceLatencies(device="phone", archs=archs, ms=ms)
