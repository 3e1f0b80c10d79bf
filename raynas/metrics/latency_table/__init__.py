"""Latency as a sum of the latencies of a network's operations, timed one by one and stored in a table."""

from raynas.metrics.latency_table.storing import load_table, save_table
from raynas.metrics.latency_table.table import LatencyTable, Operation, TimedNetwork

__all__ = ["LatencyTable", "Operation", "TimedNetwork", "load_table", "save_table"]
