"""Expression: a constructor call as source code, broken into lines where it is long."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

WIDTH = 110


@dataclass(frozen=True)
class Expression:
    """A call or a container.

    Args:
        head: the text before the arguments, such as ``nn.Sequential(``; a whole expression if there are none.
        parts: the arguments, each with a prefix, such as ``body=``.
        tail: the text after the arguments.
    """

    head: str
    parts: Sequence[tuple[str, "Expression"]] = ()
    tail: str = ""

    @property
    def flat(self) -> str:
        """The expression in one line."""
        return self.head + ", ".join(prefix + part.flat for prefix, part in self.parts) + self.tail

    def lines(self, indent: int = 0, prefix: str = "", suffix: str = "") -> Iterator[str]:
        """Yield the lines of the expression."""
        space = " " * indent
        whole = f"{space}{prefix}{self.flat}{suffix}"
        if len(whole) <= WIDTH or not self.parts:
            yield whole
            return
        yield f"{space}{prefix}{self.head}"
        for name, part in self.parts:
            yield from part.lines(indent + 4, name, ",")
        yield f"{space}{self.tail}{suffix}"


def call(name: str, *arguments: "Expression", **named: "Expression") -> Expression:
    """Return a call as an expression."""
    parts = [("", a) for a in arguments] + [(f"{k}=", v) for k, v in named.items()]
    return Expression(f"{name}(", parts, ")")
