"""Mutations of files, as accidents and attackers make them; each draws from a generator of its own."""

import copy
import io
import json
import pickle
import random
import zipfile
from collections.abc import Callable
from typing import Any

Mutate = Callable[[bytes, random.Random], bytes]

NAMES = (
    "../../outside/precious",
    "/outside/precious",
    "..",
    ".",
    "",
    "a/b",
    "a\\b",
    "a\0b",
    "C:\\x",
    "~",
    "\u202e",
    "-rf",
)
"""Names that lead out of a folder, or are none."""

CODE = ("os:system", "os.system('x')", "__class__", "!!python/object/apply:os.system ['x']", "folder:..", "npz:../x")
"""Texts that a careless reader would run or open."""

NUMBERS = (None, True, -1, 0, 2**31, 2**63, 10**40, -1e308, 1e-320)
CONTAINERS: tuple[Any, ...] = ([], {}, [[]], [None] * 3, {"a": {"a": {}}}, "x" * 10_000)
VALUES: tuple[Any, ...] = (*NAMES, *CODE, *NUMBERS, *CONTAINERS)
"""Values that a reader may not expect."""

PIECES = (
    *(b"NaN", b"Infinity", b"-1e999", b"1e400", b"9" * 5000),
    *(b"[" * 3000, b'{"a":' * 3000, b"\xff\xfe", b"\\ud800"),
)
"""Pieces of text that are no JSON, or hard to read."""

ALIASES = b"\n".join(
    [b"a0: &a0 [x, x]", *(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]".encode() for n in range(12))]
)
"""YAML that unpacks to 9**12 words."""

LINES = (ALIASES, b"a: &a [*a]", b"? [x]", b"\t- x", b"<<: *b", b"'", b'"', b"---")
"""Lines that are no YAML, or YAML that refers to itself."""

UNPACKED_BYTES = 400_000_000
"""Size of a member of a zip archive that is packed into less than a megabyte."""


EXECUTED = "executed"
"""File that the code in a file makes in the working folder, if it runs."""


class Code:
    """Runs when it is read by ``pickle.load``."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (EXECUTED, "w")


def in_bytes(content: bytes, rng: random.Random) -> bytes:
    """Change, cut, repeat or add bytes."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 3, 20))):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(7)
        if kind == 0 and at < len(data):
            data[at] = rng.randrange(256)
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            del data[at : at + rng.randrange(1, 64)]
        elif kind == 3:
            data[at:at] = data[at : at + rng.randrange(1, 512)]
        elif kind == 4:
            data[at:at] = rng.randbytes(rng.randrange(1, 16))
        elif kind == 5 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        else:
            data[at : at + 8] = rng.choice((b"\0" * 8, b"\xff" * 8))
    return bytes(data)


def in_json(content: bytes, rng: random.Random) -> bytes:
    """Change a value of a JSON text: another type, another name, less, more, or what is no JSON at all."""
    if rng.random() < 0.2:
        at = rng.randrange(len(content) + 1)
        return content[:at] + rng.choice(PIECES) + content[at:]
    try:
        value = json.loads(content)
    except ValueError:
        return in_bytes(content, rng)
    for _ in range(rng.choice((1, 1, 2, 5))):
        value = changed(value, rng)
    text = json.dumps(value).encode()
    return in_bytes(text, rng) if rng.random() < 0.1 else text


def changed(value: Any, rng: random.Random) -> Any:
    """Return a tree with one place of it changed."""
    value = copy.deepcopy(value)
    places = list(_places(value))
    if not places or rng.random() < 0.03:
        return copy.deepcopy(rng.choice(VALUES))
    holder, key = rng.choice(places)
    kind = rng.randrange(6)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[str(rng.choice(VALUES))[:50]] = holder.pop(key)
    elif kind == 2 and isinstance(holder, dict):
        holder[str(rng.choice(VALUES))[:50]] = copy.deepcopy(rng.choice(VALUES))
    elif kind == 3:
        other, name = rng.choice(places)
        holder[key] = copy.deepcopy(other[name] if name in other or isinstance(other, list) else None)
    else:
        holder[key] = copy.deepcopy(rng.choice(VALUES))
    return value


def _places(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield value, key
        yield from _places(part)


def in_json_lines(content: bytes, rng: random.Random) -> bytes:
    """Change, repeat, drop or swap lines of JSON."""
    lines = content.splitlines()
    for _ in range(rng.choice((1, 1, 3))):
        at, kind = rng.randrange(len(lines)), rng.randrange(8)
        if kind == 0:
            lines.insert(at, lines[rng.randrange(len(lines))])
        elif kind == 1 and len(lines) > 1:
            del lines[at]
        elif kind == 2:
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        else:
            lines[at] = in_json(lines[at], rng).replace(b"\n", b" ")
    return b"\n".join(lines) + rng.choice((b"\n", b"\n", b""))


def in_text(content: bytes, rng: random.Random) -> bytes:
    """Change words of a text, such as YAML or CSV."""
    lines = content.split(b"\n")
    for _ in range(rng.choice((1, 2, 5))):
        at, kind = rng.randrange(len(lines)), rng.randrange(6)
        evil = str(rng.choice(VALUES)).encode(errors="replace")
        if kind == 0:
            lines[at] = evil
        elif kind == 1:
            head, mark, _ = lines[at].partition(rng.choice((b":", b",")))
            lines[at] = head + mark + b" " + evil
        elif kind == 2:
            lines.insert(at, rng.choice(LINES))
        elif kind == 3:
            lines.insert(at, lines[rng.randrange(len(lines))])
        elif kind == 4:
            lines[at] = in_bytes(lines[at], rng)
        else:
            lines[at] = lines[at].replace(rng.choice((b",", b":", b" ")), rng.choice((b"", b",,", b"::", b"\n")))
    return b"\n".join(lines)


def in_zip(content: bytes, rng: random.Random) -> bytes:
    """Change a member of a zip archive, its name, its compression, or the archive around it."""
    if rng.random() < 0.3:
        return in_bytes(content, rng)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    at, kind = rng.randrange(len(members)), rng.randrange(7)
    name, data = members[at]
    compression = zipfile.ZIP_STORED
    if kind <= 2:
        members[at] = name, in_bytes(data, rng)
    elif kind == 3:
        members[at] = rng.choice(("../../outside/precious", "/outside/precious", "", "x" * 3000, name + "\0")), data
    elif kind == 4:
        members.insert(at, members[rng.randrange(len(members))])
    elif kind == 5:
        del members[at]
    else:
        members[at], compression = (name, b"\0" * UNPACKED_BYTES), zipfile.ZIP_DEFLATED
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        for member, unpacked in members:
            archive.writestr(member or " ", unpacked)
    return made.getvalue()


def with_code(member: str) -> Mutate:
    """Return a mutation of a zip archive that puts a pickle with code into members whose names end so."""

    def mutate(content: bytes, rng: random.Random) -> bytes:
        made = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(made, "w") as copied:
            for info in archive.infolist():
                code = pickle.dumps(Code(), protocol=rng.choice((2, 4)))
                copied.writestr(info.filename, code if info.filename.endswith(member) else archive.read(info))
        return made.getvalue()

    return mutate
