"""Runs of a search: on Ray Tune, in bulk by actors, or in simulated time; resume included."""
