"""Evolutionary strategies."""
