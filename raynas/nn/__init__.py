"""Choices written inside a model, and the search space read off it."""

from raynas.nn.choice import Choice, InputChoice, Repeat
from raynas.nn.model_space import ModelSpace

__all__ = ["Choice", "InputChoice", "ModelSpace", "Repeat"]
