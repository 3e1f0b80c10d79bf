"""A small space and what zero-cost proxies say of it, for tests."""

from typing import Any

from raynas.metrics import METRICS
from raynas.search_spaces import NASBench201
from raynas.search_spaces.nasbench201 import from_arch_str
from raynas.trials import Training, ZeroCost

SPACE = NASBench201(channels=4, cells=1, input_shape=(1, 8, 8))
ARCH = from_arch_str("|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|nor_conv_3x3~0|skip_connect~1|none~2|")
DISCONNECTED = from_arch_str("|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|")
FAST = Training(epochs=1, data_fraction=0.1, resolution=6, warmup_epochs=0, seed=5)
PROXIES = {name for name, metric in METRICS.items() if metric.needs in ("weights", "data")}
WANTED = ["accuracy", "naswot", "zen"]


def scored(settings: ZeroCost, metrics: Any = (), arch: Any = ARCH) -> dict[str, Any]:
    runner = settings.runner(SPACE, metrics)
    runner.raises = True
    return runner.run({"arch": dict(arch)})


def expected_scores() -> dict[str, float]:
    """What ZeroCost says with the data and the seed of ``FAST``."""
    result = ZeroCost(proxies=WANTED[1:], seed=5).evaluate(SPACE, ARCH)
    return {name: result[name] for name in WANTED[1:]}
