"""Data for trials of several processes, each of which calls this function itself."""

import torch
from sklearn.datasets import load_digits
from torch.utils.data import TensorDataset


def datasets() -> tuple[TensorDataset, TensorDataset]:
    images, labels = (torch.tensor(array) for array in load_digits(return_X_y=True))
    images = images.float().view(-1, 1, 8, 8) / 16
    return TensorDataset(images[:300], labels[:300]), TensorDataset(images[300:500], labels[300:500])
