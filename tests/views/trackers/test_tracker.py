"""Names that every tracker takes, and trackers by name."""

import builtins
from pathlib import Path
from typing import Any

import pytest

from raynas.errors import RaynasError, SettingError, UnknownNameError
from raynas.views.trackers import MLflow, WeightsAndBiases, as_trackers, track
from raynas.views.trackers.tracker import key_of
from tests.views.trackers.searches import result_of, searched


def test_names_that_are_fine_stay_and_others_stay_different() -> None:
    assert key_of("arch/stage 1.width-x") == "arch/stage 1.width-x"
    assert key_of("latency_ms@jetson") == "latency_ms_at_jetson"
    awkward = ["a[0]", "a(0)", "", "../../etc", "/root", "a//b", "a/", "ü" * 300, "x" * 300, "x" * 301, "a\nb"]
    keys = {key_of(name) for name in awkward}
    assert len(keys) == len(awkward)
    for key in keys:
        assert len(key) <= 250
        assert ".." not in key
        assert not key.startswith("/")


def test_trackers_are_given_by_name_or_as_settings() -> None:
    assert as_trackers("mlflow") == [MLflow()]
    assert as_trackers(["wandb", MLflow(experiment="x")]) == [WeightsAndBiases(), MLflow(experiment="x")]
    assert as_trackers(()) == []


def test_a_wrong_tracker_is_refused_in_one_line() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown tracker 'mlfow'; did you mean 'mlflow'\?"):
        as_trackers("mlfow")
    with pytest.raises(SettingError, match="names MLflow twice"):
        as_trackers(["mlflow", MLflow()])
    with pytest.raises(SettingError, match="trackers must be names"):
        as_trackers([3])  # type: ignore[list-item]
    with pytest.raises(SettingError, match="mode must be one of online, offline"):
        WeightsAndBiases(mode="later")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_package_that_is_missing_is_said_with_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(module: str, *args: Any, **kwargs: Any) -> Any:
        if module == name:
            raise ImportError(f"No module named {name!r}")
        return real(module, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(RaynasError, match=rf'pip install "raynas\[{name}\]"'):
        as_trackers(name)


@pytest.mark.parametrize("content", ["../../x", "", "0" * 1000])
def test_an_id_file_that_holds_something_else_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "tracking-id.txt").write_text(content)
    with pytest.raises(RaynasError, match=r"tracking-id\.txt"):
        track(result_of(searched(), tmp_path), MLflow(tracking_uri="sqlite://"))
