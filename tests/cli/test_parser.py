"""The parser of described settings."""

from dataclasses import dataclass

import pytest

import raynas
from raynas.cli.parser import OptionParser
from raynas.errors import RaynasError, UnknownNameError


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Some sizes.

    Args:
        depth: how deep.
        widths: how wide.
        deep: whether to go deeper.
    """

    depth: int = 3
    widths: tuple[int, ...] = (1, 2)
    limit: float | None = 1.0
    deep: bool = False


def parser() -> OptionParser:
    made = OptionParser("prog", "[OPTIONS]", "Does something.", "examples:\n  prog", ["net.depth"])
    made.add_fields("sizes", Sizes, "net.")
    return made


def test_fields_are_parsed_and_an_instance_is_made() -> None:
    parsed = parser().parse(["--net.widths", "4", "5", "--net.limit=none", "--net.deep", "yes"])
    assert parsed.make(Sizes, "net.") == Sizes(widths=(4, 5), limit=None, deep=True)
    assert parsed.changed == {"net.widths": [4, 5], "net.limit": None, "net.deep": True}


def test_what_follows_from_the_data_is_not_in_the_file_unless_given() -> None:
    assert "depth" not in parser().parse([]).as_yaml([])
    given = ["--net.depth=5"]
    assert "depth: 5" in parser().parse(given).as_yaml(given)
    assert "limit" not in parser().parse(given).as_yaml(given, without=["net.limit"])


def test_a_wrong_flag_or_value_is_one_line() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown option '--net\.dept'"):
        parser().parse(["--net.dept", "3"])
    with pytest.raises(RaynasError, match=r"--net\.widths takes values that are each a whole number, got 'wide'"):
        parser().parse(["--net.widths", "wide"])


def test_help_says_where_defaults_come_from(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse(["--help_all"])
    text = capsys.readouterr().out
    assert "how deep (default: the data's)" in text and "how wide (default: 1 2)" in text and "(default: no)" in text


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parser().parse(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"prog {raynas.__version__}\n"
