"""Indices of tensors that must be kept or removed together, found by running a model once."""
