"""The classes that the names on the command line choose from."""

from collections.abc import Mapping

from raynas.cli.subnets import SubnetSearch
from raynas.core.space import SearchSpace
from raynas.oneshot import ONESHOT
from raynas.search_spaces import SEARCH_SPACES
from raynas.strategies import EARLY_STOPPING, STRATEGIES
from raynas.trials import TRIALS, TrialSettings

SPACES: Mapping[str, type[SearchSpace]] = SEARCH_SPACES
TRAINABLES: Mapping[str, type[TrialSettings]] = {**TRIALS, "subnet": SubnetSearch}

TABLES: Mapping[str, Mapping[str, type | None]] = {
    "space": SEARCH_SPACES,
    "strategy": STRATEGIES,
    "early_stopping": {**EARLY_STOPPING, "none": None},
    "trainable": TRAINABLES,
    "method": ONESHOT,
}
"""The table of each option in ``raynas.cli.catalogue.KINDS``."""
