"""A search with a bucket whose driver is killed goes on on another machine."""

import re
import sys

import pytest

from tests import own_cluster
from tests.scripts.test_kills import SCRIPT


@pytest.mark.own_cluster
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no clusters of several nodes")
def test_a_killed_driver_costs_nothing_on_another_machine(ray_cluster: None) -> None:
    script = SCRIPT.with_name("kill_cluster.py")
    arguments = ("--storage", "flaky", "--kills", "1", "--trials", "6", "--quiet", "2")
    done = own_cluster.run_script(script, *arguments, timeout=300)
    (line,) = re.findall("^flaky: .*", done.stdout, re.MULTILINE)
    assert "kills 1, of driver 0, of elsewhere 1" in line
    assert "ended 6, lost 0, twice 0, failed 0, finished once and not kept 0, finished and trained again 0" in line
    assert "machines 2, exit code 0" in line
