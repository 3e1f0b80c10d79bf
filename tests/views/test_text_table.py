"""Tables as plain text."""

from raynas.views.text_table import text_table


def test_columns_are_as_wide_as_their_longest_text() -> None:
    rows = [["a", "x, y", "1"], ["longer", "", "1000"]]
    assert text_table(["name", "what", "n"], rows, left=2) == [
        "name    what     n",
        "a       x, y     1",
        "longer        1000",
    ]
