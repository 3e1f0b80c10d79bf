"""Devices that are made up: latencies of small cells, each operation with its cost, and noise."""

from collections.abc import Sequence

import numpy as np

from raynas.core.architecture import Architecture
from raynas.metrics.latency_predictor.described import Described, Describer
from raynas.metrics.latency_predictor.measured import DeviceLatencies
from raynas.search_spaces import NASBench201

SPACE = NASBench201(channels=4, cells=1, stages=1)

COSTS = {
    "cpu": {"nor_conv_3x3": 9.0, "nor_conv_1x1": 2.0, "avg_pool_3x3": 1.5, "skip_connect": 0.2, "none": 0.0},
    "gpu": {"nor_conv_3x3": 1.2, "nor_conv_1x1": 1.0, "avg_pool_3x3": 0.8, "skip_connect": 0.1, "none": 0.1},
    "dsp": {"nor_conv_3x3": 2.0, "nor_conv_1x1": 1.8, "avg_pool_3x3": 6.0, "skip_connect": 0.5, "none": 0.3},
    "fpga": {"nor_conv_3x3": 5.0, "nor_conv_1x1": 4.0, "avg_pool_3x3": 0.1, "skip_connect": 1.5, "none": 0.0},
    "npu": {"nor_conv_3x3": 3.0, "nor_conv_1x1": 2.4, "avg_pool_3x3": 3.2, "skip_connect": 0.4, "none": 0.1},
}


def cells(n: int, seed: int = 0) -> list[Architecture]:
    """Draw n different cells."""
    rng = np.random.default_rng(seed)
    found: dict[Architecture, None] = {}
    while len(found) < n:
        found[SPACE.sample(rng)] = None
    return list(found)


def milliseconds(device: str, archs: Sequence[Architecture], noise: float = 0.02, seed: int = 1) -> list[float]:
    """Return latencies; operations behind the last node but one cost more, as caches would have it."""
    rng, costs = np.random.default_rng(seed), COSTS[device]
    sums = [
        2 + sum(costs[str(option)] * (1.3 if edge.endswith("3") else 1) for edge, option in arch.items())
        for arch in archs
    ]
    return [float(value * np.exp(noise * rng.standard_normal())) for value in sums]


def measured(device: str, archs: Sequence[Architecture], noise: float = 0.02) -> DeviceLatencies:
    """Return measurements of a device."""
    return DeviceLatencies(
        device=device, archs=archs, ms=milliseconds(device, archs, noise), provenance={"backend": "made up"}
    )


def described(archs: Sequence[Architecture]) -> Described:
    """Describe cells."""
    return Describer.seen(SPACE, cells(100))(archs)
