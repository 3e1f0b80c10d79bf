"""A jsonargparse parser made of descriptions of settings, which answers a wrong flag with the right ones."""

import re
import sys
import textwrap
from argparse import ArgumentError
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar, get_args, get_origin

import yaml
from jsonargparse import ArgumentParser, Namespace

from raynas import __version__
from raynas.cli.catalogue import KINDS, Entry, catalogue, entry_of
from raynas.cli.describe import describe
from raynas.cli.flags import DEMO, DEMO_DATA, SHORT, given
from raynas.cli.help import FullHelp, HelpRow, short_help
from raynas.cli.model_options import ModelFlags
from raynas.cli.values import default_text, hint_of, metavar, parser_arguments, type_text, typed
from raynas.errors import RaynasError, UnknownNameError
from raynas.files.options_text import has_alias

T = TypeVar("T")

_ALWAYS = ("help", "help_all", "config", "json")
_ABOUT_CONFIG = "YAML file with options; flags win over it"


class Parsed:
    """The values of all options.

    Args:
        values: by path.
        defaults: by path.
        keys: the paths.
        derived: options that follow from the data where they are not given.
    """

    def __init__(self, values: Namespace, defaults: Namespace, keys: Sequence[str], derived: Sequence[str]) -> None:
        self._values, self._defaults, self._keys, self._derived = values, defaults, keys, derived

    def make(self, cls: type[T], prefix: str = "") -> T:
        """Return an instance of a dataclass whose fields were options."""
        return cls(**{o.name: typed(self._values[prefix + o.name]) for o in describe(cls).options})

    def fields_of(self, option: str, name: str) -> dict[str, Any]:
        """Return the fields of a table's entry."""
        return {o.name: typed(self._values[f"{option}.{o.name}"]) for o in entry_of(option, name).options}

    @property
    def changed(self) -> dict[str, Any]:
        """The options, by path, that do not have their default."""
        return {key: self._values[key] for key in self._keys if self._values.get(key) != self._defaults.get(key)}

    def as_yaml(self, tokens: Sequence[str], without: Sequence[str] = ()) -> str:
        """Return the options as ``--config`` takes them, without those that followed from the data and ``without``."""
        kept = self._values.clone()
        for key in {"config", *self._derived, *without} - given(tokens):
            kept.pop(key, None)
        return str(yaml.safe_dump(kept.as_dict(), sort_keys=False))


class OptionParser:
    """A jsonargparse parser of described settings.

    Args:
        prog: name of the script.
        usage: the rest of the usage line.
        description: what the script does, in a sentence or two.
        examples: end of the help.
        derived: options that follow from the data where they are not given.
        in_files: values in files of options, by path, which the help shows as defaults.
        common: options that ``--help`` describes, in this order; the others it names.
        own: options of the command whose names are short for others elsewhere.
    """

    def __init__(
        self,
        prog: str,
        usage: str,
        description: str,
        examples: str,
        derived: Sequence[str] = (),
        in_files: Mapping[str, str] = MappingProxyType({}),
        common: Sequence[str] = (),
        own: Collection[str] = (),
    ) -> None:
        self._own = own
        self._about = prog, usage, description
        self._examples, self._common = examples, (*common, *_ALWAYS)
        self._parser = ArgumentParser(
            prog=prog,
            usage=f"{prog} {usage}",
            description=description,
            epilog=examples,
            formatter_class=FullHelp,
            exit_on_error=False,
            version=__version__,
        )
        self._hints: dict[str, object] = {}
        self._entries: dict[str, str] = {}
        self._derived, self._in_files = derived, in_files
        self._rows = [
            HelpRow(group="", key="help", flags="-h, --help", text="this text"),
            HelpRow(group="", key="help_all", flags="--help-all", text="every option, with its default"),
        ]
        # These are read already before the parser; here for the help.
        everything = self._parser.add_argument("--help_all", action="help", help="show every option and exit")
        everything.shown = "--help-all"
        config = self._parser.add_argument("--config", help=_ABOUT_CONFIG)
        config.shown = "--config FILE"
        self._rows.append(HelpRow(group="", key="config", flags="--config FILE", text=_ABOUT_CONFIG))
        self._rows.append(HelpRow(group="", key="json", flags="--json", text="print the result as one JSON object"))

    def add_fields(self, title: str, cls: type, prefix: str = "") -> None:
        """Add a group of the fields of a dataclass, described by its docstring."""
        entry = describe(cls)
        self._add(self._parser.add_argument_group(title, entry.summary), entry, prefix, {}, title=title)

    def add_space(self, name: str, is_model: bool) -> None:
        """Add the options of a model of the user's and, if there is none, those of a space.

        Args:
            name: the chosen space, or the model.
            is_model: whether it is a model.
        """
        self.add_fields("a model of yours", ModelFlags, "model.")
        if not is_model:
            self.add_entry("space", name)

    def add_entry(
        self,
        option: str,
        name: str,
        defaults: Mapping[str, object] | None = None,
        choose: bool = True,
        usual: str | None = None,
        demo_only: Collection[str] = (),
    ) -> None:
        """Add a group of the fields of a table's entry, and the option that chooses another entry.

        Args:
            option: the table.
            name: the entry.
            defaults: fields whose default is not that of the class.
            choose: whether another entry can be chosen.
            usual: the default choice, if it is not that of the demo.
            demo_only: fields whose default is for the demo's data alone; the help shows that of the class too.
        """
        kind, table, entry = KINDS[option], catalogue()[option], entry_of(option, name)
        listed = "\n".join(f"  {n:<12} {_in_short(other.summary)}" for n, other in table.items())
        about = f"--{option} NAME takes\n{listed}" if choose else _in_short(entry.summary)
        group = self._parser.add_argument_group(f"{kind}: {name}" if choose else kind, about)
        self._entries[option] = name
        if choose:
            taken = usual or DEMO[option]
            action = group.add_argument(f"--{option}.name", default=taken, help="one of these")
            self._shown(action, f"{option}.name", f"--{option} NAME", str)
            own = ", or package.module:name of yours" if option == "space" else ""
            brief = f"{kind}: {', '.join(table)}{own} (default: {taken})"
            self._rows.append(HelpRow(group=kind, key=f"{option}.name", flags=f"--{option} NAME", text=brief))
        title = f"{kind} {name}" if choose else kind
        self._add(group, entry, f"{option}.", defaults or {}, demo_only, title=title)

    def _add(
        self,
        group: Any,
        entry: Entry,
        prefix: str,
        defaults: Mapping[str, object],
        demo_only: Collection[str] = (),
        *,
        title: str,
    ) -> None:
        for item in entry.options:
            key, hint = prefix + item.name, hint_of(item.hint)
            default = typed(defaults.get(item.name, item.default))
            told = " (required)" if item.required else default_text("the data's" if key in self._derived else default)
            if item.name in demo_only:
                told = f" (default: {default} for {DEMO_DATA}, {item.default} for other data)"
            if key in self._in_files:
                told = default_text(f"{self._in_files[key]}, from the file")
            # A list, because jsonargparse writes into sequences.
            usual = list(default) if isinstance(default, tuple) else default
            action = group.add_argument(
                f"--{key}",
                help=f"{item.help}{told}",
                **parser_arguments(hint),
                **({"required": True} if item.required else {"default": usual}),
            )
            short = [f"--{name}" for name, path in SHORT.items() if path == key and name not in self._own]
            flags = [*short, f"--[no_]{key}" if hint is bool and not prefix else f"--{key}{metavar(hint)}"]
            self._shown(action, key, ", ".join(flags), hint)
            brief = ", ".join([*(f"{flag}{metavar(hint)}" for flag in short), *([] if short else flags)])
            self._rows.append(HelpRow(group=title, key=key, flags=brief, text=f"{item.help}{told}"))

    def _shown(self, action: Any, key: str, text: str, hint: object) -> None:
        action.shown = text
        self._hints[key] = hint

    def parse(self, tokens: Sequence[str]) -> Parsed:
        """Read flags in canonical spelling.

        Raises:
            UnknownNameError: if there is no such flag.
            RaynasError: if a value cannot be read.
            SystemExit: after help was asked for.
        """
        for option in sorted(given(tokens)):
            self._check_known(option)
        self._help(tokens)
        if aliased := [token for token in tokens if has_alias(token.partition("=")[2] or token)]:
            raise RaynasError(f"{aliased[0][:80]!r} has an alias (*NAME); write the value itself")
        try:
            values = self._parser.parse_args(self._with_null(tokens))
        except ArgumentError as error:
            raise RaynasError(self._reworded(str(error))) from None
        except RecursionError:
            raise RaynasError("an option has too many lists in one another") from None
        return Parsed(values, self._parser.get_defaults(), list(self._hints), self._derived)

    def _help(self, tokens: Sequence[str]) -> None:
        if "--help_all" in tokens:
            self._parser.print_help()
            raise SystemExit(0)
        if {"-h", "--help"} & set(tokens):
            chosen = tuple(f"{option}." for option in (*self._entries, "model") if f"{option}.name" in given(tokens))
            asked = [row.key for row in self._rows if chosen and row.key.startswith(chosen)]
            common = list(dict.fromkeys([*self._common, *asked]))
            sys.stdout.write(short_help(*self._about, self._rows, common, self._examples))
            raise SystemExit(0)

    def _check_known(self, option: str) -> None:
        if option in self._hints or option in (*_ALWAYS, "version"):
            return
        if self._hints.get(option.removeprefix("no_")) is bool:
            return
        if get_origin(self._hints.get(option.rpartition(".")[0])) is Mapping:
            return
        head = option.partition(".")[0]
        if head in self._entries:
            known = [f"--{key}" for key in self._hints if key.startswith(f"{head}.") and key != f"{head}.name"]
            raise UnknownNameError(f"option of {KINDS[head]} {self._entries[head]!r}:", f"--{option}", known)
        short = [self._short(key) for key in self._hints]
        raise UnknownNameError("option", f"--{option}", [f"--{key}" for key in short if "." not in key])

    def _with_null(self, tokens: Sequence[str]) -> list[str]:
        """Replace "none" by what jsonargparse calls null, for options that may be None."""
        changed, optional = [], False
        for token in tokens:
            flag, equals, value = token.partition("=")
            if token.startswith("--"):
                optional = type(None) in get_args(self._hints.get(flag[2:]))
            none = optional and (value if equals else token).lower() == "none"
            changed.append((f"{flag}=null" if equals else "null") if none else token)
        return changed

    def _short(self, key: str) -> str:
        return next((short for short, path in SHORT.items() if path == key and short not in self._own), key)

    def _reworded(self, message: str) -> str:
        """Return a message of jsonargparse in one line, in terms of flags."""
        text = " ".join(message.split())
        key = next(iter(re.findall(r'(?:[Kk]ey "|required: )([\w.]+)', text)), "")
        value = re.search(r"(?:Got|Given) value: (.*)$", text)
        if key in self._hints and "required" in text:
            return f"--{key} is missing; see --help"
        if key in self._hints:
            got = f", got {value[1]!r}" if value else ""  # some of its versions do not say
            return f"--{self._short(key)} takes {type_text(self._hints[key])}{got}"
        return f"{text.removeprefix('argument ')}; see --help"


def _in_short(summary: str) -> str:
    """Return the begin of a summary that fits a line of a table."""
    return textwrap.shorten(re.split(r"[.;:] |\.$", summary)[0], 62, placeholder=" ...")
