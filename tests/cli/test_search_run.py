"""A cluster that is not there."""

import pytest

from raynas.cli.search_run import check_reachable
from raynas.errors import RaynasError


def test_nothing_listens() -> None:
    with pytest.raises(RaynasError, match="nothing listens"):
        check_reachable("127.0.0.1:1")
    check_reachable("auto")
