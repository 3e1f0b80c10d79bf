"""An architecture that says what of it was read."""

from collections.abc import Mapping

from raynas.core.architecture import Option


class Recorder(dict[str, Option]):
    """Remembers which decisions were looked up."""

    def __init__(self, options: Mapping[str, Option]) -> None:
        super().__init__(options)
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> Option:
        self.asked.add(name)
        return super().__getitem__(name)
