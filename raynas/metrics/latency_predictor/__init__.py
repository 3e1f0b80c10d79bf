"""Latency that is predicted instead of measured: from measurements on one device, or few of them and other devices."""

from raynas.metrics.latency_predictor.error import PredictionError, prediction_error
from raynas.metrics.latency_predictor.measured import DeviceLatencies
from raynas.metrics.latency_predictor.predictor import MODELS, TRANSFERS, LatencyPredictor, Predictions
from raynas.metrics.latency_predictor.selection import choose_networks
from raynas.metrics.latency_predictor.storing import StoredPredictor, load_predictor, read_predictor, save_predictor

__all__ = [
    "MODELS",
    "TRANSFERS",
    "DeviceLatencies",
    "LatencyPredictor",
    "PredictionError",
    "Predictions",
    "StoredPredictor",
    "choose_networks",
    "load_predictor",
    "prediction_error",
    "read_predictor",
    "save_predictor",
]
