"""The layout of the page "Custom Scalars", as TensorBoard reads it."""

import re
from pathlib import Path

from tensorboard.plugins.custom_scalar import layout_pb2

from raynas.core.archive import Archive
from raynas.core.goal import Goal
from raynas.views.tensorboard.custom_scalars import layout
from tests.views.tensorboard.logs import add, read, write


def test_every_curve_of_a_search_is_in_a_chart(tmp_path: Path) -> None:
    archive = Archive()
    for i in range(12):
        add(archive, str(i), accuracy=i / 10, params=10.0 + i, synflow=1.0)
    write(tmp_path, archive)
    events = read(tmp_path / "search")
    page = layout_pb2.Layout()
    page.ParseFromString(events.Tensors("custom_scalars__config__")[-1].tensor_proto.string_val[0])
    patterns = [tag for category in page.category for chart in category.chart for tag in chart.multiline.tag]
    assert [tag for tag in events.Tags()["scalars"] if not any(re.match(p, tag) for p in patterns)] == []
    assert [category.title for category in page.category][:2] == ["search", "trials"]


def test_weights_of_a_differentiable_search_have_charts() -> None:
    value = layout(Goal.parse("accuracy"), ["weight/normal.0.op_0/skip", "weight/normal.0.op_0/conv", "spearman/x"])
    page = layout_pb2.Layout.FromString(value.tensor.string_val[0])
    titles = {category.title: [chart.title for chart in category.chart] for category in page.category}
    assert titles["weights of options: normal.0"] == ["normal.0.op_0"]
    assert "differentiable search" in titles and "rank correlations" in titles
