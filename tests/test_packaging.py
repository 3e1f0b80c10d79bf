"""One package, whole, that works outside the checkout; and version bounds that mean what they say."""

import email
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
LINKED = ("search_spaces", "trials")


def run(*command: str | Path, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        env["PYTHONPATH"] = str(path)
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def build(source: Path, out: Path, *options: str) -> Path:
    # Without isolation nothing is downloaded: setuptools is among the tools of the dev extra.
    done = run(sys.executable, "-m", "build", "--no-isolation", *options, "--outdir", out, source, cwd=source.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = out.glob("*.whl")
    return wheel


def wheel_files(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the wheel is made from: a build in the checkout would leave its traces there."""
    copy = tmp_path_factory.mktemp("packaging") / "source"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("raynas", *LINKED):
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(source, tmp_path_factory.mktemp("wheel"), "--wheel")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", target)
    done = run(*pip, wheel, cwd=target)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def requirements(wheel: Path) -> dict[str, Requirement]:
    """What the wheel asks for, extras and all, by canonical name."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    found = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    return {canonicalize_name(need.name): need for need in found}


def pins(file: str) -> Iterator[tuple[str, Version]]:
    for line in (ROOT / file).read_text().splitlines():
        if pin := line.partition("#")[0].strip():
            need = Requirement(pin)
            (exact,) = need.specifier
            assert exact.operator == "==", f"{file}: {pin} is not an exact version"
            yield canonicalize_name(need.name), Version(exact.version)


def test_the_wheel_holds_one_package(wheel: Path) -> None:
    top_level = {name.partition("/")[0] for name in wheel_files(wheel)}
    assert {name for name in top_level if not name.endswith(".dist-info")} == {"raynas"}


def test_the_wheel_holds_every_module(wheel: Path) -> None:
    modules = {f"raynas/{path.relative_to(ROOT / 'raynas')}" for path in (ROOT / "raynas").rglob("*.py")}
    for name in LINKED:  # rglob does not follow symlinks in every Python
        modules |= {f"raynas/{path.relative_to(ROOT)}" for path in (ROOT / name).rglob("*.py")}
    assert {f"raynas/{name}/__init__.py" for name in LINKED} <= modules
    assert modules | {"raynas/py.typed"} == {f for f in wheel_files(wheel) if f.startswith("raynas/")}


def test_the_sdist_builds_the_same_wheel(source: Path, wheel: Path, tmp_path: Path) -> None:
    assert wheel_files(build(source, tmp_path)) == wheel_files(wheel)  # build's default: wheel from sdist


@pytest.mark.parametrize("module", ["raynas", *(f"raynas.{name}" for name in LINKED)])
def test_the_wheel_imports_outside_the_checkout(installed: Path, tmp_path: Path, module: str) -> None:
    done = run(sys.executable, "-c", f"import {module} as m; print(m.__file__)", cwd=tmp_path, path=installed)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(installed)


@pytest.mark.parametrize("name", LINKED)
def test_a_bare_import_is_refused(name: str) -> None:
    done = run(sys.executable, "-c", f"import {name}", cwd=ROOT)
    assert done.returncode != 0
    assert f"ImportError: import raynas.{name}" in done.stderr


def test_the_checks_run_with_versions_that_raynas_allows(requirements: dict[str, Requirement]) -> None:
    pinned = dict(pins("constraints.txt"))
    assert requirements.keys() <= pinned.keys()
    for name, need in requirements.items():
        assert pinned[name] in need.specifier, f"constraints.txt has {name} {pinned[name]}: {need}"


def test_the_lowest_versions_are_the_lower_bounds(requirements: dict[str, Requirement]) -> None:
    lower = {
        name: Version(bound.version)
        for name, need in requirements.items()
        for bound in need.specifier
        if bound.operator == ">="
    }
    assert dict(pins("constraints-lowest.txt")) == lower
