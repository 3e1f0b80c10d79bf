"""Latency of networks, measured on what runs them, with all that is needed to judge the figure."""

from raynas.metrics.latency.backends import BACKENDS, Backend, backend_named
from raynas.metrics.latency.deployment import deploy
from raynas.metrics.latency.measure import measure_latency, time_deployment, time_network
from raynas.metrics.latency.metric import LatencyMeasure, latency
from raynas.metrics.latency.sample import MIN_RUNS
from raynas.metrics.latency.settings import LatencySettings
from raynas.metrics.latency.timing import Timing

__all__ = [
    "BACKENDS",
    "MIN_RUNS",
    "Backend",
    "LatencyMeasure",
    "LatencySettings",
    "Timing",
    "backend_named",
    "deploy",
    "latency",
    "measure_latency",
    "time_deployment",
    "time_network",
]
