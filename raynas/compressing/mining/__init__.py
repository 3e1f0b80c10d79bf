"""A whole front of smaller networks from one fine-tune of a given one."""

from raynas.compressing.mining.mined import Belief, MinedFront
from raynas.compressing.mining.recovering import Recovered
from raynas.compressing.mining.run import mine

__all__ = ["Belief", "MinedFront", "Recovered", "mine"]
