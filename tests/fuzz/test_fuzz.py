"""Files that accidents or attackers changed: they are read, or refused in one line, and nothing else happens.

``RAYNAS_FUZZ_FILES=2000 pytest -s tests/fuzz`` tries 2,000 files of each kind.
"""

import hashlib
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from raynas.errors import RaynasError
from tests.fuzz.kinds import KINDS, Kind, mutated

N_FILES = int(os.environ.get("RAYNAS_FUZZ_FILES", "15"))


@pytest.mark.parametrize("name", KINDS)
def test_a_valid_file_is_read(name: str, tmp_path: Path) -> None:
    KINDS[name].write(tmp_path)
    assert outcome(KINDS[name], tmp_path) == "read"


@pytest.mark.timeout(100 + 2 * N_FILES)
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", KINDS)
def test_a_changed_file_is_read_or_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    working = tmp_path / "outside"
    (working / "precious" / "checkpoint_000000").mkdir(parents=True)
    (working / "precious" / "weights.pt").write_text("precious")
    monkeypatch.chdir(working)
    before = listing(working)
    outcomes, slowest = Counter[str](), 0.0
    for n in range(N_FILES):
        folder = tmp_path / "results" / "search"
        folder.mkdir(parents=True)
        mutated(KINDS[name], folder, random.Random(f"{name} {n}"))
        started = time.perf_counter()
        outcomes[outcome(KINDS[name], folder)] += 1
        slowest = max(slowest, time.perf_counter() - started)
        assert listing(working) == before, n
        assert [entry.name for entry in folder.parent.iterdir()] == ["search"], n
        shutil.rmtree(folder.parent)
    print(f"{name}: {dict(outcomes)}, slowest {slowest:.2f} s")
    assert outcomes.keys() <= {"read", "refused"}


def outcome(kind: Kind, folder: Path) -> str:
    """Read a file; name the exception if it is none of raynas."""
    try:
        kind.read(folder)
    except RaynasError as error:
        return "refused" if "\n" not in str(error) else f"several lines: {error!s:.300}"
    except Exception as error:
        return f"{type(error).__name__}: {error!s:.300}"
    return "read"


def listing(folder: Path) -> Mapping[str, str]:
    """Return the digests of the files in a folder, and its folders, by path."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in folder.rglob("*")
    }
