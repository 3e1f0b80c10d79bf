"""Event files of TensorBoard, written in whole records without its own writer, which syncs after every one."""

import errno
import io
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.summary.writer.record_writer import RecordWriter


class EventFile:
    """The event file of one run, which is made at the first ``flush`` with something to write.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"events.out.tfevents.{int(time.time()):010d}.{os.getpid()}.raynas"
        self._pending = io.BytesIO()
        self._writer = RecordWriter(self._pending)
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def add(self, values: "Sequence[Summary.Value]", step: int = 0) -> None:
        """Keep values of one step for the next ``flush``."""
        self._write(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))

    @property
    def exists(self) -> bool:
        """True if there is anything on disk."""
        return self._path.exists()

    def restart(self) -> None:
        """Remove what this object wrote and kept; the next ``flush`` makes the file again."""
        self._path.unlink(missing_ok=True)
        self._pending.seek(0)
        self._pending.truncate()
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def flush(self) -> None:
        """Append what was kept to the file."""
        if self._pending.tell():
            _append(self._path, self._pending.getvalue())
            self._pending.seek(0)
            self._pending.truncate()

    def _write(self, event: Event) -> None:
        self._writer.write(event.SerializeToString())


def event_files(folder: Path) -> list[Path]:
    """Return the event files of a run; none if it has no folder."""
    try:
        return [folder / name for name in os.listdir(folder) if "tfevents" in name]
    except OSError:  # most often there is no such folder yet; writing will tell of anything worse
        return []


def _append(path: Path, content: bytes) -> None:
    """Add whole records or, on a full disk, nothing: TensorBoard reads no further than a torn one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        end = file.tell()
        if file.write(content) < len(content):
            file.truncate(end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def scalars(values: Mapping[str, float]) -> "list[Summary.Value]":
    """Return numbers as values of an event, by tag."""
    return [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]


def text(tag: str, markdown: str) -> "Summary.Value":
    """Return a text as a value of an event."""
    tensor = TensorProto(dtype=DT_STRING, string_val=[markdown.encode()], tensor_shape=TensorShapeProto())
    return Summary.Value(tag=tag, tensor=tensor, metadata=plugin("text"))


def image(tag: str, png: bytes, width: int, height: int) -> "Summary.Value":
    """Return a picture as a value of an event."""
    return Summary.Value(tag=tag, image=Summary.Image(width=width, height=height, encoded_image_string=png))


def plugin(name: str, content: bytes = b"") -> SummaryMetadata:
    """Return the metadata of a value that a plugin of TensorBoard shows."""
    return SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=name, content=content))
