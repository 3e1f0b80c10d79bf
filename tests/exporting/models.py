"""Networks as users write them."""

import functools
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raynas.nn import Choice, ModelSpace, Repeat

TOKENS, LENGTH, WIDTH = 30, 6, 8


@dataclass
class Config:
    n_head: int = 2
    dropout: float = 0.2


@dataclass
class Scores:
    logits: Tensor
    extra: Tensor | None = None


def causal(length: int) -> Tensor:
    """A mask."""
    return torch.tril(torch.ones(length, length))


class Attention(nn.Module):
    """Attention to earlier tokens."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.config = config
        self.mask: Tensor
        self.register_buffer("mask", causal(LENGTH), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        shape = (batch, length, self.config.n_head, width // self.config.n_head)
        query, key, value = (part.view(shape).transpose(1, 2) for part in self.qkv(x).split(WIDTH, dim=2))
        scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
        scores = scores.masked_fill(self.mask[:length, :length] == 0, float("-inf"))
        weights = F.dropout(scores.softmax(-1), self.config.dropout, self.training)
        out: Tensor = (weights @ value).transpose(1, 2).reshape(batch, length, width)
        return out


class Language(nn.Module):
    """Tokens, and a weight for each of them, to logits of the next token; the output layer shares the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, WIDTH)
        self.positions = nn.Parameter(torch.randn(LENGTH, WIDTH))
        self.blocks = Repeat(lambda i: Attention(Config()), low=1, high=2)
        self.act = Choice({"relu": nn.ReLU, "gelu": nn.GELU})
        self.out = nn.Linear(WIDTH, TOKENS, bias=False)
        self.out.weight = self.embedding.weight

    def forward(self, ids: Tensor, weights: Tensor | None = None) -> Scores:
        x = self.embedding(ids) + self.positions[: ids.size(1)]
        if weights is not None:
            x = x * weights[..., None]
        return Scores(self.out(self.act(self.blocks(x))))


class Siamese(nn.Module):
    """Two images through one branch, whose batch norm has states; a dict of two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Sequential(nn.Conv2d(1, 4, 3, padding="same", bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.right = self.left
        self.head = Choice({"linear": lambda: nn.Linear(8, 3), "deep": lambda: nn.Sequential(nn.Linear(8, 3))})
        self.scale = torch.arange(1.0, 4.0)
        self.act: Callable[[Tensor], Tensor] = F.relu

    def forward(self, first: Tensor, second: Tensor) -> dict[str, object]:
        pooled = [branch(x).mean((2, 3)) for branch, x in ((self.left, first), (self.right, second))]
        logits = self.head(torch.cat(pooled, 1)) * self.scale
        return {"logits": self.act(logits), "parts": (pooled[0], [pooled[1]])}


class Branching(nn.Module):
    """Control flow that depends on the values of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(x)
        return out * 2 if out.sum() > 0 else out


class Recurrent(nn.Module):
    """Layers whose constructors do not keep their arguments under the same names, and a frozen one."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, WIDTH, padding_idx=0).requires_grad_(False)
        self.lstm = nn.LSTM(WIDTH, 4, 2, batch_first=True, dropout=0.1, bidirectional=True)
        self.layers = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(WIDTH, 2, 12, activation="gelu", batch_first=True, norm_first=True),
            num_layers=2,
            enable_nested_tensor=False,
        )
        self.norm = nn.LayerNorm((WIDTH,), eps=1e-6)

    def forward(self, ids: Tensor) -> Tensor:
        x, _ = self.lstm(self.embedding(ids))
        out: Tensor = self.norm(self.layers(x)).mean(1)
        return out


LOGGER = logging.getLogger(__name__)


def logged(forward: Callable[..., Scores]) -> Callable[..., Scores]:
    """A decorator as libraries write it, behind which a trace by ``torch.fx`` finds no arguments."""

    @functools.wraps(forward)
    def logging_forward(self: nn.Module, *args: Any, **kwargs: Any) -> Scores:
        LOGGER.debug("forward")
        return forward(self, *args, **kwargs)

    return logging_forward


class Logged(nn.Module):
    """A network that neither source nor ``torch.fx`` can hold; an argument by keyword, batch norm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(6, 3)

    @logged
    def forward(self, x: Tensor, *, scale: Tensor, bias: Tensor) -> Scores:
        LOGGER.debug("inside")
        return Scores(self.head(self.body(x) * scale) + bias)


def holding_a_function() -> nn.Module:
    """A network whose class cannot be written, so that it is traced; its dropout differs between the modes."""
    factor, layers = 3.0, [1, 2]

    class Held(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
            self.finish = lambda x: F.dropout(x * factor, 0.5, self.training)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.finish(self.inside(x) + len(layers))
            return out.reshape(x.shape[0], -1)  # for which a trace calls a function of Python, getattr

    return Held()


LANGUAGE = ModelSpace(Language, inputs=(torch.randint(0, TOKENS, (2, LENGTH)), torch.rand(2, LENGTH)))
SIAMESE = ModelSpace(Siamese, inputs=(torch.rand(2, 1, 6, 6), torch.rand(2, 1, 6, 6)))
