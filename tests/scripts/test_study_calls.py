"""The bench of a call of a study, small."""

import pytest

from scripts.bench import study_calls


def test_a_small_run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_calls, "import_seconds", lambda: 1.0)
    study_calls.main(["--sizes", "12", "--strategies", "random", "grid"])
    rows = [row.split("|")[1:3] for row in capsys.readouterr().out.splitlines() if row.startswith("| ")]
    assert rows == [[" strategy ", " evaluations "], [" random ", " 12 "], [" grid ", " 12 "]]
