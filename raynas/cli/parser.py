"""A jsonargparse parser made of dataclasses: a field is an option, its docstring the help."""

import re
import shlex
import textwrap
from argparse import Action, ArgumentError
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import partial
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import docstring_parser
import yaml
from jsonargparse import ActionYesNo, ArgumentParser, DefaultHelpFormatter, Namespace

from raynas.cli.flags import DEMO, SHORT, TABLES, given
from raynas.errors import RaynasError, UnknownNameError

T = TypeVar("T")


class OptionParser:
    """A jsonargparse parser for the fields of dataclasses, which answers a wrong flag with the right ones.

    Args:
        prog: name of the script.
        usage: what follows it.
        description: what it does, in a sentence or two.
        examples: shown at the end of the help.
        derived: options that follow from the data where they are not given.
    """

    def __init__(self, prog: str, usage: str, description: str, examples: str, derived: Sequence[str] = ()) -> None:
        self._parser = ArgumentParser(
            prog=prog,
            usage=f"{prog} {usage}",
            description=description,
            epilog=examples,
            formatter_class=_Help,
            exit_on_error=False,
        )
        self._hints: dict[str, Any] = {}
        self._entries: dict[str, str] = {}
        self._derived = derived
        # Read by ``expand`` already; here for the help.
        config = self._parser.add_argument("--config", help="YAML file with options; flags win over it")
        config.shown = "--config FILE"

    def add_fields(
        self,
        title: str,
        cls: type,
        prefix: str = "",
        *,
        description: str | None = None,
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        """A group of the fields of a dataclass, described by its docstring."""
        group = self._parser.add_argument_group(title, description or _summary(cls, whole=True))
        self._add(group, cls, prefix, defaults or {})

    def add_entry(
        self,
        option: str,
        name: str,
        defaults: Mapping[str, Any] | None = None,
        choose: bool = True,
        usual: str | None = None,
    ) -> None:
        """A group of the fields of a table's entry, and the option that chooses another entry.

        Args:
            option: the table.
            name: the entry.
            defaults: fields whose default is not that of the class.
            choose: whether another entry can be chosen.
            usual: what is chosen where nobody chooses, if not what the demo has.
        """
        kind, table = TABLES[option]
        cls = table[name]
        told = {n: _summary(c) if c else "train every architecture to the end" for n, c in table.items()}
        listed = "\n".join(f"  {n:<12} {summary}" for n, summary in told.items())
        about = f"--{option} NAME takes\n{listed}" if choose else told[name]
        group = self._parser.add_argument_group(f"{kind}: {name}" if choose else kind, about)
        self._entries[option] = name
        if choose:
            action = group.add_argument(f"--{option}.name", default=usual or DEMO[option], help="one of these")
            self._shown(action, f"{option}.name", f"--{option} NAME", str)
        if cls:
            self._add(group, cls, f"{option}.", defaults or {})

    def _add(self, group: Any, cls: type, prefix: str, defaults: Mapping[str, Any]) -> None:
        hints, help_texts = get_type_hints(cls), _help_texts(cls)
        for item in _own_fields(cls):
            key, hint = prefix + item.name, hints[item.name]
            default = defaults.get(item.name, _default(item))
            told = "the data's" if key in self._derived else default
            action = group.add_argument(
                f"--{key}",
                help=f"{help_texts.get(item.name, '')}{_default_text(told)}",
                **_arguments(hint),
                **({"required": True} if default is MISSING else {"default": _plain(default)}),
            )
            short = [f"--{name}" for name, path in SHORT.items() if path == key]
            flags = [*short, f"--[no_]{key}" if hint is bool and not prefix else f"--{key}{_metavar(hint)}"]
            self._shown(action, key, ", ".join(flags), hint)

    def _shown(self, action: Any, key: str, text: str, hint: Any) -> None:
        action.shown = text
        self._hints[key] = hint

    def parse(self, tokens: Sequence[str]) -> Namespace:
        """Read flags in canonical spelling.

        Raises:
            UnknownNameError: if there is no such flag.
            RaynasError: if a value cannot be read.
        """
        for option in sorted(given(tokens)):
            self._check_known(option)
        try:
            return self._parser.parse_args(self._with_null(tokens))
        except ArgumentError as error:
            raise RaynasError(self._reworded(str(error))) from None

    def _check_known(self, option: str) -> None:
        if option in self._hints or option in ("help", "config"):
            return
        if self._hints.get(option.removeprefix("no_")) is bool:
            return
        if get_origin(self._hints.get(option.rpartition(".")[0])) is Mapping:
            return
        head = option.partition(".")[0]
        if head in self._entries:
            known = [f"--{key}" for key in self._hints if key.startswith(f"{head}.") and key != f"{head}.name"]
            raise UnknownNameError(f"option of {TABLES[head][0]} {self._entries[head]!r}:", f"--{option}", known)
        short = [self._short(key) for key in self._hints]
        raise UnknownNameError("option", f"--{option}", [f"--{key}" for key in short if "." not in key])

    @staticmethod
    def _short(key: str) -> str:
        return next((short for short, path in SHORT.items() if path == key), key)

    def _with_null(self, tokens: Sequence[str]) -> list[str]:
        """Let "none" be what jsonargparse calls null, for options that may be None."""
        changed, optional = [], False
        for token in tokens:
            flag, equals, value = token.partition("=")
            if token.startswith("--"):
                optional = type(None) in get_args(self._hints.get(flag[2:]))
            none = optional and (value if equals else token).lower() == "none"
            changed.append((f"{flag}=null" if equals else "null") if none else token)
        return changed

    def _reworded(self, message: str) -> str:
        """A message of jsonargparse in one line, in terms of flags."""
        text = " ".join(message.split())
        key = next(iter(re.findall(r'(?:[Kk]ey "|required: )([\w.]+)', text)), "")
        value = re.search(r"(?:Got|Given) value: (.*)$", text)
        if key in self._hints and "required" in text:
            return f"--{key} is missing; see --help"
        if key in self._hints:
            got = f", got {value[1]!r}" if value else ""  # some of its versions do not say
            return f"--{self._short(key)} takes {_type_text(self._hints[key])}{got}"
        return f"{text.removeprefix('argument ')}; see --help"

    def made(self, cls: type[T], options: Namespace, prefix: str = "", **more: Any) -> T:
        """An instance of a dataclass whose fields were parsed."""
        hints = get_type_hints(cls)
        values = {f.name: _typed(hints[f.name], options[prefix + f.name]) for f in _own_fields(cls)}
        return cls(**{**values, **more})

    def entry(self, option: str, names: Mapping[str, str], options: Namespace) -> Any:
        """What makes an instance of the table's entry that was chosen, and takes further fields; None for "none"."""
        cls = TABLES[option][1][names[option]]
        return None if cls is None else partial(self.made, cls, options, f"{option}.")

    def changed(self, options: Namespace) -> dict[str, Any]:
        """The options, by path, that do not have their default."""
        defaults = self._parser.get_defaults()
        return {key: options[key] for key in self._hints if options.get(key) != defaults.get(key)}

    def dump(self, options: Namespace, tokens: Sequence[str], without: Sequence[str] = ()) -> str:
        """The options as YAML, as ``--config`` takes them, but for what followed from the data, and ``without``."""
        told = options.clone()
        for key in {"config", *self._derived, *without} - given(tokens):
            told.pop(key, None)
        return str(yaml.safe_dump(told.as_dict(), sort_keys=False))


class _Help(DefaultHelpFormatter):
    """Shows flags as users write them, and keeps the line breaks of tables and examples."""

    def _format_action_invocation(self, action: Action) -> str:
        return str(getattr(action, "shown", None) or super()._format_action_invocation(action))

    def _get_help_string(self, action: Action) -> str:
        return str(action.help or "")  # jsonargparse takes a single "%" for itself

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" not in text:
            return super()._fill_text(text, width, indent)
        return textwrap.indent(text, indent)


def _own_fields(cls: type) -> list[Field[Any]]:
    """What can be set from the command line: numbers, texts, and sequences and mappings of these.

    Parts that are settings themselves (a relaxation, stages) are for Python; early stopping and one-shot methods are
    entries of their own.
    """
    if not is_dataclass(cls):
        raise TypeError(f"{cls.__name__} must be a dataclass")
    hints = get_type_hints(cls)
    return [f for f in fields(cls) if f.init and _is_plain(hints[f.name])]


def _is_plain(hint: Any) -> bool:
    if hint in (int, float, str, bool, type(None), Any, ...) or get_origin(hint) in (Callable, Literal):
        return True
    parts = get_args(hint)
    return (bool(parts) and all(map(_is_plain, parts))) or _is_written(hint)


def _is_written(hint: Any) -> bool:
    """Whether a text stands for settings, as for the stages of a portfolio."""
    parts = get_args(hint)
    return get_origin(hint) in (UnionType, Union) and str in parts and not all(map(_is_plain, parts))


def _default(item: Field[Any]) -> Any:
    return item.default_factory() if item.default_factory is not MISSING else item.default


def _plain(default: Any) -> Any:
    """A list, because jsonargparse writes into sequences."""
    return list(default) if isinstance(default, tuple) else default


def _default_text(default: Any) -> str:
    if default is MISSING:
        return " (required)"
    if default is None or default in ((), {}):
        return ""
    if isinstance(default, bool):
        return " (default: yes)" if default else " (default: no)"
    return f" (default: {shlex.join(map(str, default)) if isinstance(default, tuple) else default})"


def _arguments(hint: Any) -> dict[str, Any]:
    """How jsonargparse takes values of a type."""
    origin = get_origin(hint)
    if hint is bool:
        return {"action": ActionYesNo(no_prefix="no_"), "nargs": "?"}
    if origin in (tuple, Sequence):
        return {"type": str if _is_written(get_args(hint)[0]) else get_args(hint)[0], "nargs": "*"}
    if origin is Mapping:
        return {"type": dict[str, get_args(hint)[1]]}  # type: ignore[misc]
    return {"type": str if _is_code(hint) else hint}


def _typed(hint: Any, value: Any) -> Any:
    return tuple(value) if get_origin(hint) in (tuple, Sequence) else value


def _is_code(hint: Any) -> bool:
    return any(get_origin(part) is Callable for part in (hint, *get_args(hint)))


def _metavar(hint: Any) -> str:
    origin = get_origin(hint)
    if hint is bool:
        return " yes|no"
    if origin in (tuple, Sequence):
        return f" {_metavar(get_args(hint)[0]).strip()} ..."
    if origin is Mapping:
        return ".NAME " + _metavar(get_args(hint)[1]).strip()
    kinds = [kind for kind in (get_args(hint) or (hint,)) if kind is not type(None)]
    return f" {({int: 'N', float: 'X'}).get(kinds[0], 'TEXT')}"


def _type_text(hint: Any) -> str:
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "none"}
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (tuple, Sequence):
        return f"values that are each {_type_text(arguments[0])}"
    if origin is Mapping:
        return "NAME and value"
    if arguments:
        return " or ".join(names.get(part, repr(part)) for part in arguments)
    return names.get(hint, str(hint))


def _summary(cls: type, whole: bool = False) -> str:
    """The first sentence of a docstring, short enough for a line of a table unless ``whole``."""
    text = _plain_text(docstring_parser.parse(cls.__doc__ or "").short_description)
    return text if whole else textwrap.shorten(re.split(r"[.;:] |\.$", text)[0], 62, placeholder=" ...")


def _plain_text(docstring: str | None) -> str:
    """One line for a terminal, in the words of the command line."""
    return re.sub(r"\bNone\b", "none", " ".join((docstring or "").replace("``", "").split()))


def _help_texts(cls: type) -> dict[str, str]:
    """What the docstrings of a class and its bases say about its fields."""
    parsed = [docstring_parser.parse(base.__doc__ or "") for base in reversed(cls.__mro__) if base is not object]
    return {
        param.arg_name: _plain_text(param.description).rstrip(".") for docstring in parsed for param in docstring.params
    }
