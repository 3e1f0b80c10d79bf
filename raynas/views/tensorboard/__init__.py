"""TensorBoard logs of a search."""

from raynas.views.tensorboard.log import TensorBoardCallback, TensorBoardLog

__all__ = ["TensorBoardCallback", "TensorBoardLog"]
