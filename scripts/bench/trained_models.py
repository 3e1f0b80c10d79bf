"""Small trained models for benches, one function for each; a folder keeps their weights, so that each is trained once.

python scripts/bench/trained_models.py --folder models gpt
"""

import argparse
import math
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.data.scattered_digits import read_scattered_digits

VOCABULARY = 128
CONTEXT = 64


Batches = list[tuple[Tensor, Tensor]]
"""Inputs and targets."""


@dataclass(frozen=True)
class Trained:
    """A trained model and data of its kind.

    Args:
        model: in eval mode.
        train: batches that it was trained on: inputs and targets.
        valid: other batches of the same data.
    """

    model: nn.Module
    train: Batches
    valid: Batches


class GPTBlock(nn.Module):
    """A block of a transformer; each projection is a layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.before_attention(x)
        q, k, v = (
            layer(y).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.output(y.transpose(1, 2).flatten(2))
        out: Tensor = x + self.down(functional.gelu(self.up(self.before_mlp(x))))
        return out


class GPT(nn.Module):
    """A language model of characters: numbers of characters to logits of the next ones."""

    def __init__(self, width: int = 64, depth: int = 3, heads: int = 4) -> None:
        super().__init__()
        self.characters = nn.Embedding(VOCABULARY, width)
        self.positions = nn.Embedding(CONTEXT, width)
        self.blocks = nn.Sequential(*(GPTBlock(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, VOCABULARY, bias=False)

    def forward(self, text: Tensor) -> Tensor:
        x = self.characters(text) + self.positions(torch.arange(text.shape[1], device=text.device))
        out: Tensor = self.head(self.norm(self.blocks(x)))
        return out


def characters(paths: Iterator[Path], most: int) -> Tensor:
    """Return the numbers of the first characters of files."""
    found, n = [], 0
    for path in paths:
        found.append(path.read_bytes())
        n += len(found[-1])
        if n >= most:
            break
    text = torch.frombuffer(bytearray(b"\n".join(found)[:most]), dtype=torch.uint8).long()
    return text.where(text < VOCABULARY, torch.tensor(ord("?")))


def python_text(most: int = 3_000_000) -> Tensor:
    """Return the source code of Python's standard library."""
    return characters(iter(sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))), most)


def legal_text(most: int = 1_000_000) -> Tensor:
    """Return the licences and descriptions of the installed packages."""
    folder = Path(sysconfig.get_path("purelib"))
    names = ("LICENSE", "LICENSE.txt", "LICENSE.md", "METADATA")
    found = [path for path in sorted(folder.glob("*.dist-info/**/*")) if path.name in names]
    return characters(iter(found), most)


def text_batches(text: Tensor, n: int, seed: int, size: int = 16) -> Batches:
    """Return random batches of a text: characters and those that follow them."""
    generator = torch.Generator().manual_seed(seed)
    starts = torch.randint(len(text) - CONTEXT - 1, (n, size), generator=generator)
    windows = text[starts[..., None] + torch.arange(CONTEXT + 1)]
    return [(window[:, :-1].contiguous(), window[:, 1:].contiguous()) for window in windows]


def loss_of(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of classes of examples, or of the next characters."""
    return functional.cross_entropy(logits.flatten(0, -2), targets.flatten())


def split(text: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return a text for training, the tenth after it for validation, and the last tenth for tests."""
    n = len(text) // 10
    return text[: 8 * n], text[8 * n : 9 * n], text[9 * n :]


def fit(model: nn.Module, batches: Batches, loss: Callable[[Tensor, Tensor], Tensor], lr: float) -> None:
    """Train a model in place, one step for each batch, with a learning rate that follows a cosine."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    model.train()
    for i, (inputs, targets) in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = lr * 0.5 * (1 + math.cos(math.pi * i / len(batches)))
        optimizer.zero_grad()
        loss(model(inputs), targets).backward()
        optimizer.step()
    model.eval()


def kept(model: nn.Module, path: Path, train: Callable[[], None]) -> None:
    """Load the weights of a model from a file, or train it and write them."""
    if path.exists():
        model.load_state_dict(torch.load(path, weights_only=True))
    else:
        train()
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(model.state_dict(), path)
    model.eval()


def gpt(folder: Path, *, depth: int = 3, steps: int = 1500, seed: int = 0) -> Trained:
    """Return a language model of characters, trained on the source code of Python's standard library."""
    torch.manual_seed(seed)
    model = GPT(depth=depth)
    text, valid, _ = split(python_text())
    path = folder / f"gpt_{depth}_{steps}_{seed}.pt"
    kept(model, path, lambda: fit(model, text_batches(text, steps, seed), loss_of, 3e-3))
    return Trained(model, text_batches(text, 16, seed + 1), text_batches(valid, 16, seed + 2))


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False), nn.BatchNorm2d(n_out))
        self.shortcut = nn.Conv2d(n_in, n_out, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.second(self.first(x)) + self.shortcut(x))


def residual(folder: Path, *, epochs: int = 15, seed: int = 0) -> Trained:
    """Return a residual network of eight layers with weights, trained on digits among fragments of others."""
    torch.manual_seed(seed)
    stem = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
    middle = nn.Sequential(nn.Conv2d(32, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
    blocks = [ResidualBlock(32, 32, 1), middle, ResidualBlock(32, 64, 2)]
    model = nn.Sequential(stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    data = {
        name: (torch.from_numpy(images).float()[:, None] / 255, torch.from_numpy(labels).long())
        for name, (images, labels) in read_scattered_digits().items()
    }
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(len(data["train"][1]), generator=generator) for _ in range(epochs)]
    steps = [parts(data["train"], part) for order in orders for part in order.split(64)]
    kept(model, folder / f"residual_{epochs}_{seed}.pt", lambda: fit(model, steps, functional.cross_entropy, 2e-3))
    mixed = torch.randperm(len(data["test"][1]), generator=generator)
    return Trained(model, steps[:16], [parts(data["test"], part) for part in mixed.split(144)])


def parts(data: tuple[Tensor, Tensor], index: Tensor) -> tuple[Tensor, Tensor]:
    """Return some examples."""
    return data[0][index], data[1][index]


MODELS: Mapping[str, Callable[[Path], Trained]] = {"gpt": gpt, "residual": residual}


def main() -> None:
    """Train models, and print the losses on what they were not trained on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("models", nargs="+", choices=sorted(MODELS))
    arguments = parser.parse_args()
    for name in arguments.models:
        trained = MODELS[name](arguments.folder)
        with torch.no_grad():
            losses = [loss_of(trained.model(x), y) for x, y in trained.valid]
        n = sum(parameter.numel() for parameter in trained.model.parameters())
        print(f"{name}: {n:,} parameters, loss {float(torch.stack(losses).mean()):.3f}")


if __name__ == "__main__":
    main()
