"""The Pareto figure among the images."""

from pathlib import Path

from raynas.core.archive import Archive
from raynas.views.tensorboard import TensorBoardLog
from tests.views.tensorboard.logs import ACCURACY, SPACE, add, read, write


def test_the_pareto_front_is_drawn_now_and_then_and_at_the_end(tmp_path: Path) -> None:
    archive = Archive()
    log = TensorBoardLog(tmp_path, SPACE)
    for i in range(5):
        add(archive, str(i), accuracy=i / 10, params=10.0 ** (i + 1), latency_ms=2.0)
        log.update(archive, ACCURACY)
    log._draw_at = 0.0
    log.update(archive, ACCURACY)
    log.update(archive, ACCURACY)
    add(archive, "5", "stopped", accuracy=0.5, params=0.0)
    log.update(archive, ACCURACY)
    log.close(archive, ACCURACY)
    log.close(archive, ACCURACY)
    images = read(tmp_path / "search").Images("search/pareto_front")
    assert [image.step for image in images] == [5, 6]
    assert images[0].encoded_image_string.startswith(b"\x89PNG")
    assert (images[0].width, images[0].height) == (1000, 400)


def test_no_figure_without_costs(tmp_path: Path) -> None:
    archive = Archive()
    add(archive, "1", accuracy=0.5)
    write(tmp_path, archive)
    assert read(tmp_path / "search").Tags()["images"] == []
