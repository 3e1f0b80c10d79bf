"""The ten minutes of docs/quickstart.md, done literally in a new folder, each step timed.

The commands and the blocks of Python are read from the page. Images are made: circles and crosses. What runs is the
``raynas`` of this environment, or of the one that ``--bin`` names, such as one that has only the wheel.

    python scripts/bench/quickstart.py
    python scripts/bench/quickstart.py --bin new_env/bin --small
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

PAGE = Path(__file__).parents[2] / "docs" / "quickstart.md"
N_IMAGES = 60
"""Number of images of each class."""


def make_photos(folder: Path) -> None:
    """Make images of two classes, in different places, sizes and colours."""
    rng = np.random.default_rng(0)
    for name in ("circles", "crosses"):
        (folder / name).mkdir(parents=True)
        for number in range(N_IMAGES):
            image = Image.fromarray(rng.integers(0, 120, (32, 32, 3), dtype=np.uint8))
            x, y, size = (int(value) for value in rng.integers((8, 8, 4), (24, 24, 8)))
            colour = tuple(int(value) for value in rng.integers(120, 255, 3))
            draw = ImageDraw.Draw(image)
            if name == "circles":
                draw.ellipse((x - size, y - size, x + size, y + size), outline=colour, width=2)
            else:
                draw.line((x - size, y - size, x + size, y + size), fill=colour, width=2)
                draw.line((x - size, y + size, x + size, y - size), fill=colour, width=2)
            image.save(folder / name / f"{number}.png")


def steps(page: str) -> Iterator[tuple[str, str]]:
    """Yield the commands ("sh") and the blocks ("python") of the page in their order."""
    for language, code in re.findall(r"^```(\w*)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        if language == "python":
            yield "python", code
        else:
            yield from (("sh", line) for line in code.splitlines() if line.startswith("raynas "))


def smaller(code: str) -> str:
    """Return a step with two trials of an epoch or two in the place of many."""
    code = re.sub(r"num_samples=\d+", "num_samples=2", code)
    code = re.sub(r"--num_samples \d+", "--num_samples 2 --epochs 1 --retrain.epochs 1 --compare_random false", code)
    return re.sub(r"(raynas retrain \S+)", r"\1 --epochs 1", code)


def run(folder: Path, bin_folder: Path, change: Callable[[str], str]) -> dict[str, float]:
    """Do all steps in a folder; return the seconds of each.

    Raises:
        subprocess.CalledProcessError: if a step fails, whose output was printed.
    """
    make_photos(folder / "photos")
    seconds: dict[str, float] = {}
    name = ""
    for number, (kind, code) in enumerate(steps(PAGE.read_text(encoding="utf-8")), 1):
        if kind == "sh":
            words = shlex.split(change(code).replace("results/NAME", f"results/{name}"), comments=True)
            command, title = [str(bin_folder / words[0]), *words[1:]], " ".join(words)
        else:
            (folder / f"step{number}.py").write_text(change(code), encoding="utf-8")
            command, title = (
                [str(bin_folder / "python"), f"step{number}.py"],
                f"script of {len(code.splitlines())} lines",
            )
        began = time.monotonic()
        done = subprocess.run(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        seconds[title] = time.monotonic() - began
        if done.returncode:
            print(done.stdout)
            done.check_returncode()
        name = name or next((path.name for path in (folder / "results").glob("*") if path.is_dir()), "")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=Path, default=Path(sys.executable).parent, help="folder of python and raynas")
    parser.add_argument("--small", action="store_true", help="two trials in the place of many")
    args = parser.parse_args()
    os.environ.pop("PYTHONPATH", None) if args.bin != Path(sys.executable).parent else None
    with tempfile.TemporaryDirectory() as temporary:
        seconds = run(Path(temporary), args.bin.absolute(), smaller if args.small else str)
    for title, taken in seconds.items():
        print(f"{taken:6.0f} s  {title}")
    print(f"{sum(seconds.values()):6.0f} s  together")


if __name__ == "__main__":
    main()
