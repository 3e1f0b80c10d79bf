"""Functions of the user's, by name."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from raynas.errors import RaynasError, SettingError
from raynas.user_code import load_function, load_instance, split_call, split_reference


def test_a_reference_names_module_and_function() -> None:
    assert split_reference("package.module:function") == ("package.module", "function")


@pytest.mark.parametrize("reference", ["function", "module:", ":function", "a b:c", "module:f.g", "C:\\data", "m.py"])
def test_what_is_no_reference(reference: str) -> None:
    with pytest.raises(ValueError, match=r"named as package.module:function, got"):
        split_reference(reference)


def test_a_file_is_no_module() -> None:
    with pytest.raises(ValueError, match=r"named without .py, as package.module:function, got 'a.py:f'"):
        split_reference("a.py:f")


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


def test_a_call_has_constants_for_arguments() -> None:
    assert split_call("a.b:make") == ("a.b:make", (), {})
    assert split_call("b:make(3, 'x', depth=[1, 2], deep=None)") == (
        "b:make",
        (3, "x"),
        {"depth": [1, 2], "deep": None},
    )


@pytest.mark.parametrize(
    "text", ["b:f(", "b:f(x)", "b:f(g())", "b:f(**{})", "b:f(1)(2)", "b:f(1) + 1", "b:f(1).g", "f(1)"]
)
def test_what_is_no_call(text: str) -> None:
    with pytest.raises(SettingError, match=r"cannot read|named as"):
        split_call(text)


class Thing:
    def __init__(self, a: int = 1, b: int = 2) -> None:
        self.values = a, b


def test_an_object_is_named_or_made(monkeypatch: pytest.MonkeyPatch) -> None:
    module, thing = ModuleType("my_module"), Thing()
    for name, value in {"thing": thing, "Thing": Thing, "number": 3}.items():
        setattr(module, name, value)
    monkeypatch.setitem(sys.modules, "my_module", module)
    assert load_instance("my_module:thing", Thing, "thing") is thing
    assert load_instance("my_module:Thing", Thing, "thing", {"b": 7, "c": 8}).values == (1, 7)
    assert load_instance("my_module:Thing(4, b=5)", Thing, "thing", {"a": 7, "b": 7}).values == (4, 5)
    for wrong, message in {
        "my_module:thing(3)": "is a Thing already: leave the brackets out",
        "my_module:number": "is a int: name a thing",
        "my_module:Thing(c=3)": r"my_module:Thing\(c=3\) gives no thing: TypeError",
    }.items():
        with pytest.raises(RaynasError, match=message):
            load_instance(wrong, Thing, "thing")
