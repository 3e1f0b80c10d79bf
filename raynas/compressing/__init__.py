"""Smaller networks made of a given one."""
