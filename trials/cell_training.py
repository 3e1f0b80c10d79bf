"""Drop path and the auxiliary head, with which networks of cells are trained to the end.

Zoph et al., "Learning Transferable Architectures for Scalable Image Recognition" (CVPR 2018, arXiv:1707.07012), and Liu
et al., "DARTS" (ICLR 2019, arXiv:1806.09055). Neither is part of the network that is trained.
"""

import torch
from torch import Tensor, nn

from raynas.core.inputs import Arguments, Inputs
from raynas.errors import RaynasError
from raynas.nn.input_choice import SelectInputs


class DropPath:
    """Zeroes the output of an edge for single examples while a network trains, and scales up the others.

    Edges are those of the cells' nodes, without identities, as in the authors' program.

    Args:
        model: the network.

    Raises:
        RaynasError: if it has no such edge.
    """

    def __init__(self, model: nn.Module) -> None:
        self.rate = 0.0
        nodes = [module for module in model.modules() if isinstance(module, SelectInputs)]
        edges = [edge for node in nodes for edge in node.children() if not isinstance(edge, nn.Identity)]
        if not nodes:
            raise RaynasError("drop_path needs a network of cells whose nodes take inputs through operations")
        for edge in edges:
            edge.register_forward_hook(self._drop)

    def _drop(self, module: nn.Module, args: object, out: Tensor) -> Tensor:
        if not (module.training and self.rate):
            return out
        shape = (len(out), *(1 for _ in out.shape[1:]))
        kept = torch.empty(shape, device=out.device, dtype=out.dtype).bernoulli_(1 - self.rate)
        return out * kept / (1 - self.rate)


class AuxiliaryHead(nn.Module):
    """A second classifier, on the cell that halves the image for the second time.

    Deviations: images that are not 8 to 10 pixels wide there are pooled adaptively; of NASNet's cells all blocks are
    read, not only those that the next cell reads.

    Args:
        model: the network, a chain of cells.
        example: inputs of it.

    Raises:
        RaynasError: if the network has no cells.
    """

    def __init__(self, model: nn.Module, example: Inputs) -> None:
        super().__init__()
        cells = getattr(model, "cells", None)
        if not isinstance(cells, nn.ModuleList):
            raise RaynasError("auxiliary_weight needs a network that is a chain of cells, such as those of DARTS")
        self._seen = torch.empty(0)
        cells[2 * len(cells) // 3].register_forward_hook(self._see)
        with torch.no_grad():
            logits: Tensor = Arguments.of(example).call(model.eval())
        channels, side = self._seen.shape[1], min(self._seen.shape[2:])
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.AvgPool2d(5, stride=3) if 8 <= side <= 10 else nn.AdaptiveAvgPool2d(2),
            *(nn.Conv2d(channels, 128, 1, bias=False), nn.BatchNorm2d(128), nn.ReLU()),
            *(nn.Conv2d(128, 768, 2, bias=False), nn.BatchNorm2d(768), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(768, logits.shape[-1])),
        )

    def _see(self, module: nn.Module, args: object, out: Tensor | list[Tensor]) -> None:
        self._seen = out if isinstance(out, Tensor) else torch.cat(out, dim=1)

    def forward(self) -> Tensor:
        """Return the logits ``(batch, n_classes)`` of the batch that the network has just seen."""
        seen, self._seen = self._seen, torch.empty(0)
        logits: Tensor = self.layers(seen)
        return logits
