"""Functions of the user's, by name."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from raynas.errors import RaynasError
from raynas.user_code import load_function, split_reference


def test_a_reference_names_module_and_function() -> None:
    assert split_reference("package.module:function") == ("package.module", "function")


@pytest.mark.parametrize("reference", ["function", "module:", ":function", "a b:c", "module:f.g", "C:\\data"])
def test_what_is_no_reference(reference: str) -> None:
    with pytest.raises(ValueError, match=r"named as package.module:function, got"):
        split_reference(reference)


def test_the_function_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("my_module")
    module.double = lambda x: 2 * x  # type: ignore[attr-defined]
    module.number = 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_module", module)
    assert load_function("my_module:double")(4) == 8
    with pytest.raises(RaynasError, match="is a int, not a function"):
        load_function("my_module:number")
    with pytest.raises(RaynasError, match=r"module 'my_module' has no function 'other'$"):
        load_function("my_module:other")
    with pytest.raises(RaynasError, match=r"has no function 'duoble'; did you mean 'double'\?$"):
        load_function("my_module:duoble")


def test_a_module_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_module.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(RaynasError, match="module 'broken_module' cannot be imported: ZeroDivisionError"):
        load_function("broken_module:f")
    (tmp_path / "other_module.py").write_text("import math\nmath.nothing\n")
    with pytest.raises(RaynasError, match="module 'other_module' cannot be imported: AttributeError"):
        load_function("other_module:f")
    with pytest.raises(RaynasError, match=r"No module named 'nowhere'; start from the folder that holds it"):
        load_function("nowhere:f")
