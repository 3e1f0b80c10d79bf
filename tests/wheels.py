"""Wheels of this checkout, for tests of an installed raynas."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("search_spaces", "trials")  # folders of the root, which a wheel has inside


def run(*command: str | Path, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env["PIP_CONFIG_FILE"] = os.devnull  # the settings of this machine
    if path is not None:
        env["PYTHONPATH"] = str(path)
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def build(source: Path, out: Path, *options: str) -> Path:
    # Without isolation nothing is downloaded: setuptools is among the tools of the dev extra.
    done = run(sys.executable, "-m", "build", "--no-isolation", *options, "--outdir", out, source, cwd=source.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = out.glob("*.whl")
    return wheel


def copy(source: Path, target: Path) -> None:
    """Copy as git does where links are not possible: a link is a file that holds the name of its target."""
    if source.is_symlink():
        target.write_text(os.readlink(source))
    elif source.is_dir():
        target.mkdir()
        for entry in source.iterdir():
            if entry.name != "__pycache__":
                copy(entry, target / entry.name)
    else:
        shutil.copy(source, target)


def copy_of_sources(folder: Path) -> Path:
    """Copy what the wheel is made from to a new folder: a build in the checkout would leave its traces there."""
    folder.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "raynas", *PARTS):
        copy(ROOT / name, folder / name)
    return folder
