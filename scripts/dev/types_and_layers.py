"""Check types with mypy and the direction of imports with import-linter.

Both look for ``raynas.trials`` inside ``raynas/`` and nowhere else. So this script makes ``build/check/raynas``, which
has all modules where a wheel has them: links to the real files, or copies where links are not possible (Windows without
developer mode). Each run makes it afresh.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VIEW = ROOT / "build" / "check"
PARTS = ("search_spaces", "trials")


def show(target: Path, name: Path) -> None:
    """Make ``name`` a link to ``target``, or else a copy."""
    try:
        name.symlink_to(target, target_is_directory=target.is_dir())
    except OSError:
        copy = shutil.copytree if target.is_dir() else shutil.copy2
        copy(target, name)  # with its date, which spares mypy reading it again


def lay_out(view: Path = VIEW) -> None:
    """Write ``view``: the package with all its parts inside."""
    package = view / "raynas"
    shutil.rmtree(package, ignore_errors=True)
    package.mkdir(parents=True)
    for target in [*(ROOT / "raynas").iterdir(), *(ROOT / part for part in PARTS)]:
        show(target, package / target.name)


def check_types() -> int:
    """Run mypy and return its exit status; its messages name the real files."""
    done = subprocess.run([sys.executable, "-m", "mypy"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout.replace(os.path.join("build", "check", "raynas", ""), ""), end="", flush=True)
    return done.returncode


def check_layers() -> int:
    """Run import-linter in the view and return its exit status."""
    run = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", run, "--no-logo", "--config", str(ROOT / "pyproject.toml")]
    return subprocess.run(command, cwd=VIEW, check=False).returncode


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only-lay-out", action="store_true", help="make build/check, for mypy in an editor")
    only_lay_out = parser.parse_args().only_lay_out
    lay_out()
    sys.exit(0 if only_lay_out else check_types() or check_layers())
