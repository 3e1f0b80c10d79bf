"""One package, whole, that works outside the checkout; and version bounds that mean what they say."""

import email
import json
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pip
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import raynas
from tests.wheels import PARTS, ROOT, build, copy_of_sources, run


def wheel_files(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def files(package: Path) -> dict[str, Path]:
    """The files of ``package`` by the names that a wheel gives them."""
    inside = {"raynas": package / "raynas", **{f"raynas/{part}": package / part for part in PARTS}}
    return {
        f"{name}/{path.relative_to(folder).as_posix()}": path
        for name, folder in inside.items()
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    }


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the wheel is made from, with a trace of an earlier build."""
    folder = copy_of_sources(tmp_path_factory.mktemp("packaging") / "source")
    left_over = folder / "build" / "lib" / "raynas" / "module_of_an_earlier_build.py"
    left_over.parent.mkdir(parents=True)
    left_over.touch()
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(source, tmp_path_factory.mktemp("wheel"), "--wheel")


def install(target: Path, *options: str | Path) -> Path:
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation")
    done = run(*pip, "--target", target, *options, cwd=target)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("installed"), wheel)


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


def test_the_wheel_holds_every_file(wheel: Path) -> None:
    expected = files(ROOT).keys()
    assert {"raynas/py.typed", *(f"raynas/{part}/__init__.py" for part in PARTS)} <= expected
    assert expected == {name for name in wheel_files(wheel) if name.startswith("raynas/")}


def test_the_sdist_builds_the_same_wheel(source: Path, wheel: Path, tmp_path: Path) -> None:
    assert wheel_files(build(source, tmp_path)) == wheel_files(wheel)  # build's default: wheel from sdist


def test_a_source_without_a_part_does_not_build(source: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn"
    shutil.copytree(source, torn)
    (torn / "trials").rename(torn / "experiments")
    done = run(sys.executable, "-m", "build", "--no-isolation", "--wheel", torn, cwd=tmp_path)
    assert done.returncode != 0
    assert "error: package directory 'trials' does not exist" in (done.stdout + done.stderr).splitlines()


# Without site, so that the raynas of this environment is not found; its other packages are, by their path.
IMPORTS = """
import json, site, sys
sys.path += json.loads(sys.argv[1])
site.addsitedir(sys.argv[2])
import raynas, raynas.search_spaces, raynas.trials
print(json.dumps({name: module.__file__ for name, module in sys.modules.items() if name.startswith("raynas")}))
"""


def imported(site: Path, cwd: Path, path: Path | None = None) -> dict[str, Path]:
    """Import all in a new process and return the files of the modules, by the names that a wheel gives them."""
    packages = json.dumps([entry for entry in sys.path if "site-packages" in entry])
    done = run(sys.executable, "-S", "-c", IMPORTS, packages, site, cwd=cwd, path=path)
    assert done.returncode == 0, done.stderr
    found = {name: Path(file) for name, file in json.loads(done.stdout).items()}
    suffix = {name: "/__init__.py" if file.name == "__init__.py" else ".py" for name, file in found.items()}
    return {name.replace(".", "/") + suffix[name]: file for name, file in found.items()}


def test_the_wheel_imports_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    found = imported(installed, tmp_path)
    assert found.items() <= {name: installed / name for name in files(ROOT)}.items()


def test_an_editable_install_imports_the_files_of_the_checkout(source: Path, tmp_path: Path) -> None:
    found = imported(install(tmp_path, "--editable", source), tmp_path)
    assert found.items() <= files(source).items()


def test_a_checkout_on_the_path_imports_without_being_installed(installed: Path, source: Path, tmp_path: Path) -> None:
    found = imported(installed, tmp_path, path=source)  # as in a worker of `ray job submit --working-dir .`
    assert found.items() <= files(source).items()


@pytest.mark.parametrize("name", PARTS)
def test_a_bare_import_is_refused(name: str) -> None:
    done = run(sys.executable, "-c", f"import {name}", cwd=ROOT)
    assert done.returncode != 0
    assert f"ImportError: import raynas.{name}" in done.stderr


# --- an environment that has a torch ----------------------------------------------------------------------------------

# Without site, so that pip finds the distributions in PYTHONPATH alone and none of this environment.
PIP = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("pip", sys.argv.pop(1))
pip = sys.modules["pip"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pip)
from pip._internal.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def metadata(name: str, version: str, *requires: str) -> str:
    needs = "".join(f"Requires-Dist: {need}\n" for need in requires)
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"


def offer(index: Path, name: str, version: str, *requires: str) -> None:
    """Make an empty wheel that pip can find."""
    index.mkdir(exist_ok=True)
    with zipfile.ZipFile(index / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        folder = f"{name}-{version}.dist-info"
        archive.writestr(f"{folder}/METADATA", metadata(name, version, *requires))
        archive.writestr(f"{folder}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{folder}/RECORD", "")


def would_install(site: Path, index: Path, *wanted: str) -> dict[str, str]:
    """What pip would install into an environment, and which versions."""
    options = ("--isolated", "install", "--dry-run", "--quiet", "--no-index", "--find-links", index, "--report", "-")
    done = run(sys.executable, "-S", "-c", PIP, pip.__file__, *options, *wanted, cwd=index, path=site)
    assert done.returncode == 0, done.stderr
    installed = (entry["metadata"] for entry in json.loads(done.stdout)["install"])
    return {entry["name"]: entry["version"] for entry in installed}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that has all that raynas needs, with a torch for CPUs and without torchvision."""
    folder = tmp_path_factory.mktemp("site")
    versions = {**{name: str(version) for name, version in pins("constraints.txt")}, "torch": "2.13.0+cpu"}
    for name in versions.keys() - {"torchvision"}:
        inside = folder / f"{name.replace('-', '_')}-{versions[name]}.dist-info"
        inside.mkdir()
        (inside / "METADATA").write_text(metadata(name, versions[name]))
    return folder


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Newer releases of torch and torchvision, and the torchvision that pairs with the torch that is there."""
    folder = tmp_path_factory.mktemp("index")
    offer(folder, "torch", "2.14.1")
    offer(folder, "torchvision", "0.29.1", "torch>=2.14.0")
    offer(folder, "torchvision", "0.28.0", "torch==2.13.0")
    return folder


def test_a_plain_install_leaves_torch_as_it_is(wheel: Path, site: Path, index: Path) -> None:
    assert would_install(site, index, str(wheel)) == {"raynas": raynas.__version__}


def test_torchvision_beside_the_torch_that_is_there(wheel: Path, site: Path, index: Path) -> None:
    # As the README says: without the partner's version pip takes the newest torchvision, and with it another torch.
    found = would_install(site, index, f"{wheel}[vision]", "torchvision==0.28.*")
    assert found == {"raynas": raynas.__version__, "torchvision": "0.28.0"}
    assert "torch" in would_install(site, index, f"{wheel}[vision]")


# --- versions ---------------------------------------------------------------------------------------------------------


def test_the_package_knows_its_version(wheel: Path) -> None:
    assert raynas.__version__ == wheel.name.split("-")[1]


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


def test_commits_are_formatted_by_the_version_that_the_checks_run() -> None:
    (hooks,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert hooks["rev"] == f"v{dict(pins('constraints.txt'))['ruff']}"


def test_a_citation_names_the_version(wheel: Path) -> None:
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == wheel.name.split("-")[1]
