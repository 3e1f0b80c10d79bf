"""TensorBoard logs of a search."""

from raynas.views.tensorboard.callback import TensorBoardCallback
from raynas.views.tensorboard.log import TensorBoardLog

__all__ = ["TensorBoardCallback", "TensorBoardLog"]
