"""YAML without aliases."""

import pytest

from raynas.errors import ContentError
from raynas.files.options_text import MAX_OPTIONS_BYTES, decode_yaml, has_alias

LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefghijk", "bcdefghijkl", strict=True)
)


def test_plain_values() -> None:
    text = "a: {b: [1, 2.5, yes, null, x]}\nday: 2020-01-02\n"
    assert decode_yaml(text) == {"a": {"b": [1, 2.5, True, None, "x"]}, "day": "2020-01-02"}


@pytest.mark.parametrize(
    "text",
    [
        *(LAUGHS, "a: &x 1\nb: *x", "a: [", "a: 1\na: 2", "[" * 2000, "{" * 5000, "a: !!set {x}", "!!binary x"),
        *("!!python/object/apply:os.system ['exit 3']", "!!bool x", "!!int ''", "!!int x", "!!timestamp x"),
        *("1:1" * 9000, "? [a]\n: 1", "x" * (MAX_OPTIONS_BYTES + 1), "\x00", "9" * 5000, "--- a\n--- b"),
    ],
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(ContentError):
        decode_yaml(text)


def test_an_alias_in_a_value_of_a_flag() -> None:
    assert has_alias("{a: &x [1], b: *x}") and has_alias(LAUGHS)
    for text in ("params <= 0.9 * baseline", "a & b * c", "[&x 1]", "{", "*"):
        assert not has_alias(text)
