"""Strategies that learn by reinforcement."""
