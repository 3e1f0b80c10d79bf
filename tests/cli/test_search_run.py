"""A cluster that is not there, and a baseline that is not given."""

import pytest
from rich.console import Console

from raynas.cli.search_run import SearchRun, check_reachable
from raynas.errors import RaynasError
from tests.cli.command_lines import search


def test_nothing_listens() -> None:
    with pytest.raises(RaynasError, match="nothing listens"):
        check_reachable("127.0.0.1:1")
    check_reachable("auto")


def test_a_baseline_is_read_before_anything_is_computed() -> None:
    limit = ("--constraints", "params <= 0.9 * baseline")
    with pytest.raises(ValueError, match=r'say baseline="default".*; on the command line --baseline default'):
        SearchRun(search(*limit), Console())
    with pytest.raises(RaynasError, match="cannot read the architecture 'nowhere"):
        SearchRun(search(*limit, "--baseline", "nowhere.json"), Console())
    SearchRun(search(*limit, "--baseline", "default"), Console())
