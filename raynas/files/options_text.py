"""YAML of unknown origin: plain values, without the aliases by which a kilobyte becomes gigabytes."""

from typing import Any

import yaml

from raynas.errors import ContentError, one_line

MAX_OPTIONS_BYTES = 2**16
"""Largest size of a YAML file: options of a command take a few kilobytes."""


class _PlainLoader(yaml.SafeLoader):
    """Makes what JSON can hold, too; refuses aliases and repeated keys."""

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        number = super().construct_yaml_int(node)
        if abs(number) >= 2**63:
            raise ContentError("a number is too large")
        return number

    def compose_node(self, parent: "yaml.Node | None", index: int) -> "yaml.Node | None":
        if self.check_event(yaml.AliasEvent):
            raise ContentError("it refers to another value by an alias (*NAME); write the value itself")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(names)) < len(names):
            raise ContentError(f"a name is there twice in line {node.start_mark.line + 1}")
        return super().construct_mapping(node, deep)


_PLAIN = [f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str", "seq", "map")]
_PlainLoader.yaml_constructors = {
    **{tag: make for tag, make in yaml.SafeLoader.yaml_constructors.items() if tag in (*_PLAIN, None)},
    "tag:yaml.org,2002:int": _PlainLoader.construct_yaml_int,
}
_PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in _PLAIN]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def decode_yaml(text: str | bytes) -> Any:
    """Return the value in a YAML text; it can hold no code.

    Raises:
        ContentError: if it is too long, no YAML, or holds an alias.
    """
    if len(text) > MAX_OPTIONS_BYTES:
        raise ContentError(f"it has more than {MAX_OPTIONS_BYTES} bytes")
    try:
        return yaml.load(text, _PlainLoader)
    except ContentError:
        raise
    except Exception as error:  # besides its own errors, PyYAML raises those of int(), a regular expression, recursion
        raise ContentError(one_line(error)) from None


def has_alias(text: str) -> bool:
    """Return whether a text, read as YAML, holds an alias."""
    if "&" not in text or "*" not in text:
        return False
    try:
        return any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader))
    except Exception:  # no YAML, so nothing that could be expanded
        return False
