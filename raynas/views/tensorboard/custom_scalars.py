"""The layout of TensorBoard's page "Custom Scalars": several curves in a chart, in the order in which they are read."""

import re
from collections.abc import Iterable, Iterator, Mapping

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.custom_scalar import layout_pb2

from raynas.core.goal import Goal
from raynas.views.tensorboard.event_file import plugin

Charts = Mapping[str, list[str]]
"""Regular expressions of the tags in each chart, by its title."""

_SEARCH: Charts = {
    "hypervolume": ["search/hypervolume$"],
    "ends of trials": ["search/trials_"],
    "proposals without a trial": ["search/(refused|repaired|duplicates)$"],
}

_DIFFERENTIABLE: Charts = {
    "accuracy of the mixture and of the derived architecture": ["trial/(mixture|derived)_accuracy$"],
    "discretisation gap": ["trial/discretisation_gap$"],
    "entropy of the weights, share of skip connections": ["trial/(alpha_entropy|skip_share|weak_share)$"],
    "dominant eigenvalue": ["trial/dominant_eigenvalue$"],
    "expected costs": ["trial/expected_"],
}


def layout(goal: Goal, tags: Iterable[str]) -> "Summary.Value":
    """Return the layout of the page.

    Args:
        goal: its objectives have a chart each.
        tags: of the curves of options and of rank correlations; categories without curves are left out.
    """
    page = layout_pb2.Layout()
    for title, charts in _categories(goal, list(tags)).items():
        category = page.category.add(title=title, closed=title.startswith(("shares", "weights")))
        for chart, patterns in charts.items():
            category.chart.add(title=chart, multiline={"tag": patterns})
    content = [page.SerializeToString()]
    tensor = TensorProto(dtype=DT_STRING, string_val=content, tensor_shape=TensorShapeProto())
    return Summary.Value(tag="custom_scalars__config__", tensor=tensor, metadata=plugin("custom_scalars"))


def _categories(goal: Goal, tags: list[str]) -> Mapping[str, Charts]:
    best = {f"best {o.metric} so far": [f"search/best_{re.escape(o.metric)}$"] for o in goal.objectives}
    trial = {f"{name} of each trial": [f"trial/{re.escape(name)}$"] for name in [*goal.asked, "loss", "train_loss"]}
    found: dict[str, Charts] = {"search": {**best, **_SEARCH}, "trials": trial}
    if any(tag.startswith("spearman/") for tag in tags):
        found["rank correlations"] = {"cheap scores with the final one": ["spearman/"]}
    if any(tag.startswith("weight/") for tag in tags):
        found["differentiable search"] = _DIFFERENTIABLE
    return {**found, **_of_options(tags)}


def _of_options(tags: list[str]) -> Mapping[str, Charts]:
    """Return a chart for each decision, in categories by the prefix of its name."""
    found: dict[str, dict[str, list[str]]] = {}
    for group, decision in dict.fromkeys(_decisions(tags)):
        prefix = decision.rpartition(".")[0]
        title = "shares of options" if group == "share" else "weights of options"
        charts = found.setdefault(f"{title}: {prefix}" if prefix else title, {})
        charts[decision] = [f"{group}/{re.escape(decision)}/"]
    return found


def _decisions(tags: list[str]) -> Iterator[tuple[str, str]]:
    for tag in tags:
        group, _, rest = tag.partition("/")
        if group in ("share", "weight"):
            yield group, rest.partition("/")[0]
