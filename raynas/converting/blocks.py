"""Rows of equal blocks in a model: neighbours of one class whose outputs have the shape of their inputs."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby

from torch import Tensor, nn

from raynas.nn.dimensions.tracing import tensors_in


@dataclass(frozen=True)
class BlockRow:
    """Blocks of which some may be left out.

    Args:
        name: of the decision: that of the container, or of the first block if the container holds several rows.
        container: dotted path of the ``nn.Sequential`` or ``nn.ModuleList`` that holds them.
        blocks: their names there.
        fills: True if the container holds nothing else.
        joints: for each block, its first input and its output.
    """

    name: str
    container: str
    blocks: tuple[str, ...]
    fills: bool
    joints: tuple[tuple[Tensor, Tensor], ...]

    @property
    def least(self) -> int:
        """The smallest number of blocks that is left."""
        return 1 if self.fills else 0

    @property
    def paths(self) -> list[str]:
        """Dotted paths of the blocks."""
        return [f"{self.container}.{block}" if self.container else block for block in self.blocks]


class BlockWatch:
    """Inputs and outputs of the children of containers, noted while a model runs."""

    def __init__(self, model: nn.Module) -> None:
        self.containers = {
            path: module
            for path, module in model.named_modules()
            if isinstance(module, nn.Sequential | nn.ModuleList) and len(module) > 1
        }
        self.joints: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note what the children take and give until the context ends."""
        with ExitStack() as stack:
            for container in self.containers.values():
                for child in container.children():
                    stack.callback(child.register_forward_hook(self._note, with_kwargs=True).remove)
            yield

    def _note(self, module: nn.Module, args: object, kwargs: object, output: object) -> None:
        taken, given = next(tensors_in((args, kwargs)), None), next(tensors_in(output), None)
        if taken is not None and given is not None:
            self.joints.setdefault(module, []).append((taken, given))

    def rows(self) -> Iterator[BlockRow]:
        """Yield the rows of at least one block that may be left out."""
        for path, container in self.containers.items():
            named = list(container.named_children())
            rows = list(self._rows(named))
            for row in rows:
                first = "" if len(rows) == 1 else f".{row[0][0]}"
                joints = tuple(joint for _, block in row for joint in self.joints[block])
                blocks = tuple(name for name, _ in row)
                yield BlockRow(f"{path or 'model'}{first}.depth", path, blocks, len(row) == len(named), joints)

    def _rows(self, named: list[tuple[str, nn.Module]]) -> Iterator[list[tuple[str, nn.Module]]]:
        for (_, keeps), members in groupby(named, lambda item: (type(item[1]), self._keeps_shape(item[1]))):
            row = list(members)
            if keeps and (len(row) > 1 or len(named) > len(row)) and self._follows_one_like_it(named, row):
                yield row

    def _keeps_shape(self, block: nn.Module) -> bool:
        joints = self.joints.get(block, [])
        n_layers = sum(parameter.ndim > 1 for parameter in block.parameters())  # One layer is no block.
        same = all(a.shape == b.shape and a.dtype == b.dtype for a, b in joints)
        return n_layers > 1 and len(joints) == 1 and same

    def _follows_one_like_it(self, named: list[tuple[str, nn.Module]], row: list[tuple[str, nn.Module]]) -> bool:
        """Tell a repeated block from one that stands alone: only of a class that comes twice in the container."""
        return sum(type(block) is type(row[0][1]) for _, block in named) > 1
