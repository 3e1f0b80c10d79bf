"""Plain English in docstrings and comments: the rules of CONTRIBUTING that a program can check.

Ruff's D401 holds the imperative mood of functions; these tests hold the rest.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = sorted(
    path for folder in ("raynas", "search_spaces", "trials", "scripts") for path in (ROOT / folder).rglob("*.py")
)

QUESTION = re.compile(r"(What|How|Whether|Where|When|Which|Who|Why)\b")
"""A docstring names a thing or says what to do; a question word makes the reader guess which."""

DIALECT = {
    r"\banew\b": "again, new",
    r"\bof (its|their) own\b": "its own, or nothing",
    r"\b(is|are|was|were) told\b": "receives, is reported",
    r"\bcomes? in\b": "input",
    r"\bcomes? out\b": "output",
    r"\b(goes|go|went|going) on\b": "continue",
    r"\b(stands|stand|stood) (for|in|at|on|beside)\b": "represents, is in",
    r"\blies? (in|at|on|beside|where)\b": "is in",
    r"\bhow sure\b": "standard deviation",
}
"""Phrases that a reader of another mother tongue has to translate twice, and what to say instead."""


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield node.body[0].lineno, text
        if isinstance(node, ast.Module | ast.ClassDef):  # the docstrings of constants and fields
            for before, after in zip(node.body, node.body[1:], strict=False):
                if isinstance(before, ast.Assign | ast.AnnAssign) and isinstance(after, ast.Expr):
                    match after.value:
                        case ast.Constant(value=str(text)):
                            yield after.lineno, text


def comments(path: Path) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def place(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def test_no_docstring_begins_with_a_question_word() -> None:
    found = [
        f"{place(path, line)}: {text[:60]}" for path in FILES for line, text in docstrings(path) if QUESTION.match(text)
    ]
    assert not found, "\n".join(found)


def test_no_phrase_of_a_private_dialect() -> None:
    found = [
        f"{place(path, line)}: {match[0]!r}, say: {better}"
        for path in FILES
        for line, text in (*docstrings(path), *comments(path))
        for phrase, better in DIALECT.items()
        if (match := re.search(phrase, " ".join(text.split()), re.IGNORECASE))
    ]
    assert not found, "\n".join(found)


def test_the_rules_find_what_they_are_for(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text('"""How it works."""\n\nX = 1\n"""What is told anew."""\n\n# It goes on.\n')
    assert [text for _, text in docstrings(file) if QUESTION.match(text)] == ["How it works.", "What is told anew."]
    assert any(re.search(phrase, text) for _, text in comments(file) for phrase in DIALECT)
