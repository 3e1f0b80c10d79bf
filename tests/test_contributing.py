import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(set(re.findall(r"(?:[\w.]+/)+\w+\.\w+", TEXT))))
def test_the_files_it_names_exist(name: str) -> None:
    assert (ROOT / name).is_file() or (Path(name).stem.endswith("NAME") and (ROOT / name).parent.is_dir())
