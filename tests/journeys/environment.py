"""Virtual environments as a newcomer makes them."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import ClassVar


class Environment:
    """A new virtual environment, which sees the packages of this one but for its raynas."""

    started: ClassVar[list["subprocess.Popen[str]"]] = []

    def __init__(self, folder: Path, wheel: Path | None = None) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        self.bin = folder / ("Scripts" if sys.platform == "win32" else "bin")
        self.python = self.bin / "python"
        if wheel:
            pip = f"-m pip --python {self.python} install --quiet --no-index --no-deps".split()
            subprocess.run([sys.executable, *pip, wheel], check=True)
        (site,) = folder.rglob("site-packages")
        (site / "others.pth").write_text("\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}))

    def start(self, folder: Path, *command: str | Path) -> "subprocess.Popen[str]":
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=pipe, stderr=pipe, text=True)
        self.started.append(process)
        return process

    def raynas(self, folder: Path, *argv: str) -> "subprocess.Popen[str]":
        return self.start(folder, self.bin / "raynas", *argv)

    def script(self, folder: Path) -> "subprocess.Popen[str]":
        return self.start(folder, self.python, "search.py")
