"""Settings that the authors of one-shot methods trained shared weights with, on CIFAR-10 and the space of DARTS.

All take half of the training images for the weights and half for the architecture, SGD without Nesterov momentum, a
cosine without warm-up, random crops and flips, and clip gradients at norm 5. The numbers are those of the authors'
programs.
"""

from collections.abc import Mapping

_DARTS: Mapping[str, object] = {
    "data": "cifar10",
    "augment": "crop_flip",
    "epochs": 50,
    "batch_size": 64,
    "lr": 0.025,
    "optimizer": "sgd",
    "momentum": 0.9,
    "nesterov": False,
    "weight_decay": 3e-4,
    "schedule": "cosine",
    "final_lr_share": 0.04,  # from 0.025 to 0.001
    "warmup_epochs": 0.0,
    "clip_norm": 5.0,
}

RECIPES: Mapping[str, Mapping[str, object]] = {
    "darts": _DARTS,
    "darts_2nd": _DARTS,
    "dr_nas": {**_DARTS, "lr": 0.1, "final_lr_share": 0.0},
    "fair_darts": {**_DARTS, "batch_size": 128, "lr": 0.005, "final_lr_share": 0.2},
    "p_darts": {**_DARTS, "epochs": 75, "batch_size": 96, "final_lr_share": 0.0},
    "pc_darts": {**_DARTS, "batch_size": 256, "lr": 0.1, "final_lr_share": 0.01},
    "smooth_darts": _DARTS,
    "smooth_darts_adv": _DARTS,
}
"""Settings of ``SupernetTraining`` by the names of the methods in ``ONESHOT``."""
