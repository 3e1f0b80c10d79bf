"""torchvision for tests, also beside a torch that its compiled operators were not built for."""

import re
import sys
from functools import cache
from importlib import import_module

import torch

OPERATOR = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


@cache
def can_import_torchvision() -> bool:
    """Import torchvision if it is installed.

    Its data sets and classifiers are Python alone. The operators for object detection are compiled, for GPUs in most
    builds; beside a torch for CPUs they are missing, and the import fails unless they are declared.
    """
    try:
        import_module("torchvision")
    except ImportError:
        return False
    except RuntimeError as error:
        missing = re.fullmatch(r"operator (torchvision::\w+) does not exist", str(error))
        if missing is None:
            raise
        torch.library.define(missing[1], OPERATOR)
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        return can_import_torchvision()
    return True
