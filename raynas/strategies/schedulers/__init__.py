"""Schedulers: early stopping and population based training."""
