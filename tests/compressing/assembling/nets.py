"""Small given models of several kinds, with weights from a fixed seed."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    """Self-attention with one layer for queries, keys and values, by torch's function or in steps."""

    def __init__(self, width: int, n_heads: int, *, in_steps: bool = False, causal: bool = False) -> None:
        super().__init__()
        self.head_width, self.in_steps, self.causal = width // n_heads, in_steps, causal
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, length, _ = x.shape
        q, k, v = self.qkv(x).reshape(n, length, 3, -1, self.head_width).permute(2, 0, 3, 1, 4)
        if self.in_steps:
            y = torch.softmax(q @ k.transpose(-2, -1) / self.head_width**0.5, dim=-1) @ v
        else:
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        found: Tensor = self.out(y.transpose(1, 2).flatten(2))
        return found


class Block(nn.Module):
    """A transformer block."""

    def __init__(self, width: int, n_heads: int, **options: Any) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), Attention(width, n_heads, **options)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        found: Tensor = x + self.mlp(self.norm2(x))
        return found


class ViT(nn.Module):
    """A transformer of images of digits, one token for each row."""

    def __init__(self, n_blocks: int = 2) -> None:
        super().__init__()
        self.embedding = nn.Linear(8, 32)
        self.blocks = nn.ModuleList(Block(32, 4) for _ in range(n_blocks))
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embedding(x.reshape(-1, 8, 8))
        for block in self.blocks:
            x = block(x)
        found: Tensor = self.head(x.mean(1))
        return found


class Gpt(nn.Module):
    """The next of a sequence of tokens; takes them by name, and returns a mapping."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 16)
        self.blocks = nn.ModuleList(Block(16, 2, causal=True) for _ in range(2))
        self.head = nn.Linear(16, 20, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids: Tensor) -> dict[str, Tensor]:
        x = self.embedding(ids)
        for block in self.blocks:
            x = block(x)
        return {"logits": self.head(x)}


class Residual(nn.Module):
    """A residual block that changes its input in place."""

    def __init__(self, n_in: int, n_out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False), nn.BatchNorm2d(n_out)
        self.conv2, self.norm2 = nn.Conv2d(n_out, n_out, 5, 1, 2, bias=False), nn.BatchNorm2d(n_out)
        self.short = nn.Identity() if n_in == n_out else nn.Conv2d(n_in, n_out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(x, inplace=True)
        y = functional.relu(self.norm1(self.conv1(x)), inplace=True)
        found: Tensor = self.norm2(self.conv2(y)) + self.short(x)
        return found


def resnet() -> Any:
    """Return a network of two stages."""
    torch.manual_seed(0)
    stages = [nn.Sequential(Residual(8, 8), Residual(8, 8)), nn.Sequential(Residual(8, 16, 2), Residual(16, 16))]
    return nn.Sequential(nn.Conv2d(1, 8, 3, 1, 1), *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))


def vit(n_blocks: int = 2) -> ViT:
    """Return a transformer of images."""
    torch.manual_seed(0)
    return ViT(n_blocks)
