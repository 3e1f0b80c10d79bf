"""Training on a folder of images larger than memory: streamed, from the cache, by a plain DataLoader, and in memory.

Makes a folder of JPEG files and trains a small network on its training split, 64 % of the images, in a process per row.
The memory of each process is limited, except for data in memory. The first epoch of streamed images decodes them, the
second reads the cache. The plain DataLoader is what users write: a dataset that opens, resizes, augments and normalises
one image, with shuffling and as many workers. Prints images a second, CPU time, and the peak of memory of the trainer
and of its largest worker; medians of repeats.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from raynas.data.batches import Batch, Batches
from raynas.data.image_folders import labelled_files
from raynas.data.images import ImageData
from raynas.data.splitting import stratified_split
from raynas.metrics.memory import peak_memory_mb
from raynas.trials import Training
from raynas.trials.task import Classification
from raynas.trials.trainer import Trainer

CPU = torch.device("cpu")
N_CLASSES = 10
UNLIMITED_GB = 1000.0
ROWS = {"plain": 1, "streamed": 2, "streamed, no cache": 1, "in memory": 1}
"""Number of epochs of each kind of data."""


def write_images(root: Path, n_images: int, side: int) -> None:
    """Write JPEG files of ``side`` pixels: clouds, a colour for each class, which compress as photographs do."""
    rng = np.random.default_rng(0)
    for i in range(n_images):
        folder = root / f"{i % N_CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        small = rng.integers(0, 256, (side // 4, side // 4, 3), dtype=np.uint8)
        small[..., 0] = small[..., 0] // 2 + 12 * (i % N_CLASSES)
        image = Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)
        image.save(folder / f"{i:06}.jpg", quality=90)


class PlainFolder(Dataset[tuple[Tensor, int]]):
    """Images of a folder as users read them, without raynas: an image, shifted and mirrored, and its label."""

    def __init__(self, root: Path, image_size: int) -> None:
        labelled = labelled_files(root)["train"]
        chosen, _ = stratified_split(np.array([label for _, label in labelled]), 0.36)
        self.examples = [(str(labelled[i][0]), labelled[i][1]) for i in chosen.tolist()]
        self.size = image_size

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self.examples[index]
        with Image.open(path) as stored:
            image = ImageOps.fit(stored.convert("RGB"), (self.size, self.size), Image.Resampling.BILINEAR)
        pad = self.size // 8
        padded = np.pad(np.asarray(image), ((pad, pad), (pad, pad), (0, 0)), constant_values=127)
        down, right = torch.randint(2 * pad + 1, (2,)).tolist()
        shifted = torch.from_numpy(padded[down : down + self.size, right : right + self.size].copy())
        if torch.rand(()) < 0.5:
            shifted = shifted.flip(1)
        return (shifted.permute(2, 0, 1).float() - 127) / 60, label


class PlainBatches(Batches):
    """The batches of a plain DataLoader."""

    def __init__(self, dataset: PlainFolder, batch_size: int, n_workers: int) -> None:
        self.loader: Any = DataLoader(dataset, batch_size, shuffle=True, drop_last=True, num_workers=n_workers)

    @property
    def n_steps(self) -> int:
        return len(self.loader)

    def train(self, seed: int) -> Iterator[Batch]:
        for images, labels in self.loader:
            yield images.contiguous(memory_format=torch.channels_last), labels

    def examine(self, part: str) -> Iterator[Batch]:
        return iter(())  # only training is measured


def network() -> nn.Module:
    """Return a small convolutional network."""
    layers = [nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32, N_CLASSES))


def cpu_seconds() -> float:
    """Return the CPU time of this process and of the workers that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def train(row: str, root: Path, cache: Path, image_size: int, n_workers: int) -> dict[str, Any]:
    """Train in this process; return seconds of loading and, for each epoch, seconds, CPU seconds and images."""
    torch.set_num_threads(1)
    settings = Training(
        data=f"folder:{root}",
        data_dir=str(cache),
        image_size=image_size,
        epochs=ROWS[row],
        augment="crop_flip",
        stream_above_gb=UNLIMITED_GB if row == "in memory" else 0,
        data_workers=n_workers,
        cache_images=row == "streamed",
        lr=0.01,
    )
    begun, epochs = time.monotonic(), []
    if row == "plain":
        batches: Batches = PlainBatches(PlainFolder(root, image_size), settings.batch_size, n_workers)
    else:
        source = settings.load_source()
        assert isinstance(source, ImageData)
        batches = settings.batches(source.without_test(), CPU)
    loaded = time.monotonic() - begun
    trainer = Trainer(network(), batches, settings, seed=0, device=CPU, task=Classification(N_CLASSES))
    while not trainer.finished:
        begun, used = time.monotonic(), cpu_seconds()
        trainer.train_epoch()
        seconds, cpu = time.monotonic() - begun, cpu_seconds() - used
        epochs.append({"seconds": seconds, "cpu": cpu, "images": (batches.n_steps or 0) * settings.batch_size})
    worker_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
    return {"load": loaded, "epochs": epochs, "mb": peak_memory_mb(), "worker_mb": worker_mb}


def measured(row: str, root: Path, args: argparse.Namespace) -> dict[str, Any] | str:
    """Return what ``train`` measures in a process of limited memory; the last line of its error if it fails."""
    with tempfile.TemporaryDirectory(dir=root.parent) as cache:
        limit_gb = UNLIMITED_GB if row == "in memory" else args.limit_gb
        options = [row, str(root), cache, args.image_size, args.workers, limit_gb]
        command = [sys.executable, __file__, "--one", json.dumps(options)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    return run.stderr.strip().splitlines()[-1] if run.returncode else json.loads(run.stdout)


def run_limited(options: str) -> None:
    """Train as ``measured`` asks and print the result."""
    row, root, cache, image_size, n_workers, limit_gb = json.loads(options)
    resource.setrlimit(resource.RLIMIT_DATA, (int(limit_gb * 1e9),) * 2)
    print(json.dumps(train(row, Path(root), Path(cache), image_size, n_workers)))


def lines(row: str, runs: list[dict[str, Any] | str]) -> Iterator[str]:
    """Yield a line of the table for each epoch."""
    if failed := [run for run in runs if isinstance(run, str)]:
        yield f"| {row} | {failed[0][:100]} | | | | |"
        return
    done: list[dict[str, Any]] = [run for run in runs if isinstance(run, dict)]
    for epoch in range(len(done[0]["epochs"])):
        each = [run["epochs"][epoch] for run in done]
        rate, cpu = median(e["images"] / e["seconds"] for e in each), median(1e3 * e["cpu"] / e["images"] for e in each)
        seconds, load = median(e["seconds"] for e in each), median(run["load"] for run in done)
        peaks = f"{max(run['mb'] for run in done):.0f} + {max(run['worker_mb'] for run in done):.0f}"
        yield f"| {row}, epoch {epoch + 1} | {rate:.0f} | {cpu:.2f} | {seconds:.1f} | {load:.1f} | {peaks} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--side", type=int, default=64, help="height and width of the files, in pixels")
    parser.add_argument("--image_size", type=int, default=64, help="height and width that they are trained at")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--limit_gb", type=float, default=2.0, help="memory allowed to each process")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--folder", type=Path, help="keeps the images here and takes those that are there")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        return run_limited(args.one)
    with tempfile.TemporaryDirectory() as temporary:
        root = (args.folder or Path(temporary)) / "images"
        if not root.exists():
            write_images(root, args.images, args.side)
        print("| | images/s | CPU ms/image | s | loading, s | peak MB, trainer + worker |\n|---|---|---|---|---|---|")
        runs: dict[str, list[dict[str, Any] | str]] = {row: [] for row in args.rows}
        for _ in range(args.repeats):
            for row in args.rows:
                runs[row].append(measured(row, root, args))
        for row in args.rows:
            print("\n".join(lines(row, runs[row])), flush=True)


if __name__ == "__main__":
    main()
