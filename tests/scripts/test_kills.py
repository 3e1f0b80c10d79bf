"""A node that is killed during a search costs no trial."""

import re
import sys
from pathlib import Path

import pytest

from tests import own_cluster

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench" / "kills.py"


@pytest.mark.own_cluster
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no clusters of several nodes")
def test_a_killed_node_costs_no_trial(ray_cluster: None) -> None:
    done = own_cluster.run_script(SCRIPT, "--kinds", "node", "--kills", "1", "--trials", "6", timeout=300)
    (line,) = re.findall("^node: .*", done.stdout, re.MULTILINE)
    assert "kills 1, ended 6, lost 0, twice 0, failed 0" in line and "exit code 0" in line
