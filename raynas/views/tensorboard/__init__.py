"""TensorBoard logs of a search."""

from raynas.views.tensorboard.callback import TensorBoardCallback
from raynas.views.tensorboard.log import TensorBoardLog
from raynas.views.tensorboard.measured import add_measured

__all__ = ["TensorBoardCallback", "TensorBoardLog", "add_measured"]
