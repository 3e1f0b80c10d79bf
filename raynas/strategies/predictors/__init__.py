"""Strategies with a predictor."""
