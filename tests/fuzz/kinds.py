"""The kinds of files that raynas reads: a valid one of each, how it is mutated, and what reads it."""

import io
import json
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from raynas.cli.retrain_request import read_retrain
from raynas.cli.search_command import parse_search
from raynas.core.archive import Archive
from raynas.core.goal import Goal
from raynas.core.result import SearchResult
from raynas.data.image_sets import load_images
from raynas.files.inside import inside
from raynas.run.architecture_file import read_architecture
from raynas.run.checkpoint_retention import KeepBest
from raynas.run.checkpoints import LocalCheckpoints
from raynas.run.last_checkpoint import last_checkpoint, set_aside
from raynas.run.results_folder import open_archive
from raynas.search_spaces import MLP
from raynas.strategies import RandomSearch
from raynas.testing import ToySpace
from raynas.trials import TrainedSupernet, Training
from raynas.trials.checkpoint import META, STATE, Checkpoint
from raynas.trials.retrain import retrain
from raynas.trials.supernet.trained import ABOUT, WEIGHTS
from raynas.trials.table import read_table
from tests.fuzz.mutations import Mutate, in_bytes, in_json, in_json_lines, in_text, in_zip, with_code
from tests.trials import tables
from tests.trials.supernet import small

TOY = ToySpace(n_layers=2, n_options=3)


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Args:
        file: path of the file that is mutated, in the results folder.
        write: writes a valid file, and what lies beside it, into the folder.
        read: reads it, as raynas does.
        mutations: what may be done to it.
    """

    file: str
    write: Callable[[Path], None]
    read: Callable[[Path], object]
    mutations: Sequence[Mutate]


# --- results of a search ---------------------------------------------------------------------------------------------


def write_archive(folder: Path) -> None:
    """Write the archive of a search that was killed, with the checkpoints of its trials."""
    with closing(Archive(folder / "archive.jsonl")) as archive:
        facts = {"space": "toy", "trainable": "f", "objectives": ["max:accuracy"], "constraints": [], "strategy": "x"}
        numbers = {"seed": 0, "num_samples": 9, "baseline": {}, "generation_size": None, "code": {}, "data": {}}
        archive.append("session", **facts, **numbers)
        for n, arch in enumerate(list(TOY.enumerate())[:5]):
            trial, config = f"{n:05d}", TOY.to_config(arch)
            archive.append("proposed", trial=trial, config=config, costs={"params": 3.0})
            archive.append("result", trial=trial, fidelity=1, metrics={"accuracy": 0.1 * n})
            if n < 3:
                status = ("finished", "stopped", "failed")[n]
                ended = {"fidelity": 1, "metrics": {"accuracy": 0.1 * n}, "error": "x" if n == 2 else ""}
                archive.append("ended", trial=trial, status=status, **ended)
            Checkpoint(arch, 1, {"model": {}}).write(folder / trial / "checkpoint_000000")
        archive.append("lost", trial="00003", suspect=True, reason="killed")
        archive.append("refused", config=config, metrics={"params": 9.0}, reason="too large")
        archive.append("repaired", config=config, proposal=config)
        archive.append("waited")


def continue_search(folder: Path) -> None:
    """Read an archive, and do to the folder what a search that continues does."""
    with closing(open_archive(folder)) as archive:
        searcher = RandomSearch().searcher(TOY, costs={}, archive=archive)
        searcher.warm_start(archive.earlier_evaluations, again=True)
        searcher.replay(archive)
        keeper = KeepBest(searcher, LocalCheckpoints(folder))
        for evaluation in archive.evaluations:
            keeper.on_trial_complete(0, [], type("Trial", (), {"trial_id": evaluation.trial})())
        for trial, record in archive.unfinished().items():
            searcher.config_of(record)
            if found := last_checkpoint(inside(folder, trial), 1):
                set_aside(found[0])
        result = SearchResult(space=TOY, goal=Goal.parse("accuracy", ()), archive=archive, path=folder)
        result.to_frame()
        assert result.counts
        result.best()


def write_architecture(folder: Path) -> None:
    (folder / "architecture.json").write_text(MLP().default.to_json() + "\n")


def read_mlp(folder: Path) -> object:
    return read_architecture(folder / "architecture.json", MLP())


def write_checkpoint(folder: Path) -> None:
    tensors = {"weight": torch.zeros(3, 4), "n": torch.tensor(2)}
    state = {"epoch": 2, "model": tensors, "optimizer": {"state": {0: {"step": 1}}, "param_groups": [{"lr": 0.1}]}}
    Checkpoint(next(iter(TOY.enumerate())), 2, state, 1.5, 30.0, {"params": 3.0}, {"accuracy": 0.5}).write(folder)


@cache
def supernet_files() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as made:
        small.written(Path(made))
        return {path.name: path.read_bytes() for path in Path(made).iterdir() if path.is_file()}


def write_supernet(folder: Path) -> None:
    for name, content in supernet_files().items():
        (folder / name).write_bytes(content)


def read_supernet(folder: Path) -> None:
    trained = TrainedSupernet.load(folder, small.SPACE)
    assert trained.history is not None
    _ = trained.derived
    trained.supernet()


TRAINING = Training(data="digits", epochs=1).at_full_fidelity


def write_training(folder: Path) -> None:
    about = {"space": MLP().name, "training": TRAINING.description, "arch": MLP().default.to_config()}
    (folder / "training.json").write_text(json.dumps(about))


def continue_training(folder: Path) -> None:
    space = MLP()
    retrain(space, space.default, TRAINING, folder)


# --- options and data ------------------------------------------------------------------------------------------------

OPTIONS = """\
space:
  name: cnn
  n_strides: 2
strategy:
  name: evolution
  population_size: 5
trainable:
  epochs: 3
  lr: 0.1
constraints: [params <= 1000, macs <= 3e6 soft]
num_samples: 5
hyperparameters:
  lr: loguniform(1e-3, 1e-1)
name: mine
"""
RETRAIN = "space:\n  name: mlp\n  max_layers: 3\ntrainable:\n  data: digits\n  epochs: 3\n  lr: 0.1\n"


def write_options(folder: Path) -> None:
    (folder / "options.yaml").write_text(OPTIONS)


def read_options(folder: Path) -> None:
    with quiet():
        parse_search(["--config", str(folder / "options.yaml")])


def write_retrain(folder: Path) -> None:
    write_architecture(folder)
    (folder / "retrain.yaml").write_text(RETRAIN)


def read_retraining(folder: Path) -> None:
    with quiet():
        read_retrain([str(folder / "architecture.json")])


@contextmanager
def quiet() -> Iterator[None]:
    """Hide what the command line prints."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        yield


def write_npz(folder: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (12, 6, 6, 3), dtype=np.uint8)
    labels = np.arange(12) % 3
    np.savez(folder / "data.npz", x_train=images, y_train=labels, x_test=images[:6], y_test=labels[:6])


SUFFIXES = {"png": {}, "jpg": {}, "tif": {"compression": "tiff_lzw"}, "bmp": {}, "webp": {}}
"""Options to write images of a format."""


def write_images(suffix: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        rng = np.random.default_rng(0)
        for label in ("cat", "dog"):
            (folder / "photos" / label).mkdir(parents=True)
            for n in range(6):
                image = Image.fromarray(rng.integers(0, 255, (9, 8, 3), dtype=np.uint8))
                image.save(folder / "photos" / label / f"{n}.{suffix}", **SUFFIXES[suffix])

    return write


def read_npz(folder: Path) -> object:
    return load_images(f"npz:{folder / 'data.npz'}")


def read_photos(folder: Path) -> object:
    return load_images(f"folder:{folder / 'photos'}", image_size=6)


TABLE = "table.csv"


def write_table(folder: Path) -> None:
    tables.frame().to_csv(folder / TABLE, index=False)


def write_packed_table(folder: Path) -> None:
    tables.frame().to_csv(folder / f"{TABLE}.gz", index=False)


def read_tables(folder: Path) -> None:
    for file in folder.iterdir():
        read_table(tables.settings(str(file)), tables.SPACE)


KINDS = {
    "archive": Kind("archive.jsonl", write_archive, continue_search, (in_json_lines, in_json_lines, in_bytes)),
    "architecture": Kind("architecture.json", write_architecture, read_mlp, (in_json, in_json, in_bytes)),
    "checkpoint": Kind(META, write_checkpoint, Checkpoint.read, (in_json, in_json, in_bytes)),
    "state": Kind(STATE, write_checkpoint, Checkpoint.read, (in_zip, in_zip, with_code("data.pkl"))),
    "supernet": Kind(ABOUT, write_supernet, read_supernet, (in_json, in_json, in_bytes)),
    "shared weights": Kind(WEIGHTS, write_supernet, read_supernet, (in_bytes,)),
    "training": Kind("training.json", write_training, continue_training, (in_json, in_json, in_bytes)),
    "options": Kind("options.yaml", write_options, read_options, (in_text, in_text, in_bytes)),
    "retraining": Kind("retrain.yaml", write_retrain, read_retraining, (in_text, in_text, in_bytes)),
    "table": Kind(TABLE, write_table, read_tables, (in_text, in_text, in_bytes)),
    "packed table": Kind(f"{TABLE}.gz", write_packed_table, read_tables, (in_bytes,)),
    "npz": Kind("data.npz", write_npz, read_npz, (in_zip, in_zip, with_code("x_train.npy"))),
    **{suffix: Kind(f"photos/cat/0.{suffix}", write_images(suffix), read_photos, (in_bytes,)) for suffix in SUFFIXES},
}
"""The kinds by name."""


def mutated(kind: Kind, folder: Path, rng: random.Random) -> None:
    """Write a valid folder with one mutated file."""
    kind.write(folder)
    file = folder / kind.file
    file.write_bytes(rng.choice(list(kind.mutations))(file.read_bytes(), rng))
