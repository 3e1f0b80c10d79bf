"""A search space that tests name as a user's."""

from raynas.testing import ToySpace

space = ToySpace()
