"""Write the exit codes and the schema of ``--json`` into ``docs/json.md``, and the schema as ``docs/json_schema.json``.

Run it after a change of ``raynas/cli/answers.py`` or ``raynas/cli/exit_codes.py``; a test compares the files with them.
"""

import json
from pathlib import Path
from typing import Any

import msgspec

from raynas.cli.answers import ANSWERS, Answer
from raynas.cli.exit_codes import MEANINGS

DOCS = Path(__file__).parents[1] / "docs"
PAGE, SCHEMA = DOCS / "json.md", DOCS / "json_schema.json"


def schema() -> dict[str, Any]:
    """Return the JSON schema: the answer, and the type of its result by command."""
    (answer, *results), components = msgspec.json.schema_components([Answer, *ANSWERS.values()])
    by_command = dict(zip(ANSWERS, results, strict=True))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **answer,
        "results": by_command,
        "$defs": _defs(components),
    }


def _defs(components: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(components).replace("#/components/schemas/", "#/$defs/")
    found: dict[str, Any] = json.loads(text)
    return found


def codes() -> str:
    """Return the table of exit codes."""
    rows = [f"| {code.value} | {meaning} |" for code, meaning in MEANINGS.items()]
    return "\n".join(["| code | cause |", "|---|---|", *rows]) + "\n"


def types() -> str:
    """Return a table for each type, with the commands whose result it is."""
    parts = []
    for name, one in schema()["$defs"].items():
        commands = [command for command, cls in ANSWERS.items() if cls.__name__ == name]
        of = f" (`result` of {', '.join(f'`{command}`' for command in commands)})" if commands else ""
        rows = [f"| `{field}` | {_type(about)} |" for field, about in one["properties"].items()]
        about = " ".join(str(one.get("description", "")).replace("``", "`").split())
        parts.append("\n".join([f"### {name}{of}", "", about, "", "| field | type |", "|---|---|", *rows, ""]))
    return "\n" + "\n".join(parts)


def _type(about: dict[str, Any]) -> str:
    if "anyOf" in about:
        return " or ".join(_type(part) for part in about["anyOf"])
    if "$ref" in about:
        name = about["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})" if name == "Error" else name
    kind = str(about.get("type", "any"))
    if kind == "array":
        return f"list of {_type(about.get('items', {}))}"
    if kind == "object":
        return f"object of {_type(about['additionalProperties'])}" if about.get("additionalProperties") else "object"
    return kind


def page(text: str) -> str:
    """Return the page with its generated parts as they should be."""
    made = {"codes": codes(), "types": types()}
    for name, part in made.items():
        begin, end = f"<!-- generated: {name} -->\n", f"<!-- end of {name} -->"
        head, _, rest = text.partition(begin)
        text = head + begin + part + end + rest.partition(end)[2]
    return text


def main() -> None:
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    SCHEMA.write_text(json.dumps(schema(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
