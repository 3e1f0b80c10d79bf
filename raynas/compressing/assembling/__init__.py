"""Assembly of a smaller model from alternatives to the blocks of a given one."""

from raynas.compressing.assembling.alternatives import Alternative, Custom
from raynas.compressing.assembling.assembly import Assembly
from raynas.compressing.assembling.blocks import Call
from raynas.compressing.assembling.library import BlockLibrary
from raynas.compressing.assembling.making import block_library

__all__ = ["Alternative", "Assembly", "BlockLibrary", "Call", "Custom", "block_library"]
