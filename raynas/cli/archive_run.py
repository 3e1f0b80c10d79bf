"""Archives shown, merged and exported from the command line."""

from pathlib import Path

import pandas as pd
from msgspec import Struct
from rich.console import Console

from raynas.cli.answers import ArchiveShown, MergeAnswer, ShowAnswer, TableAnswer
from raynas.cli.archive_request import ArchiveRequest
from raynas.cli.study_run import best_answer
from raynas.cli.terminal import say, shown
from raynas.core.result import SearchResult
from raynas.errors import RaynasError
from raynas.files.replacing import Replacing
from raynas.run.file_names import ARCHIVE
from raynas.run.merging import merge_archives
from raynas.run.stored_result import stored_result


def run_archive(request: ArchiveRequest, console: Console) -> Struct:
    """Show, merge or export archives, and print what was done.

    Raises:
        RaynasError: if an archive cannot be read, archives are of different searches, or a file cannot be written.
    """
    return {"show": _show, "merge": _merge, "export": _export}[request.action](request, console)


def _show(request: ArchiveRequest, console: Console) -> Struct:
    answers = [_content(_stored(folder)) for folder in request.folders]
    for one in answers:
        best = one.best and ", ".join(f"{name} = {value:g}" for name, value in one.best.metrics.items())
        counts = ", ".join(f"{n} {what}" for what, n in one.counts.items() if n) or "no trial ended"
        rows = {
            "space": one.space.partition(" ")[0],
            "objectives": " ".join(one.objectives),
            "constraints": ", ".join(one.constraints) or "none",
            "strategies": ", then ".join(one.strategies),
            "trials": f"{counts}; {len(one.open)} open, {one.num_samples} in the end",
            "best": f"trial {one.best.trial}: {best}" if one.best else "none yet",
        }
        say("\n".join([one.archive, *(f"  {name:<12} {text}" for name, text in rows.items())]), console)
    return ShowAnswer(archives=answers)


def _stored(folder: Path) -> SearchResult:
    return stored_result(folder.parent if folder.name == ARCHIVE else folder)


def _content(result: SearchResult) -> ArchiveShown:
    archive, last = result.archive, result.archive.events("session")[-1]
    return ArchiveShown(
        archive=str(result.path / ARCHIVE),
        title=str(last.get("title", "")),
        space=str(last["space"]),
        objectives=list(last["objectives"]),
        constraints=list(last["constraints"]),
        strategies=list(dict.fromkeys(str(record["strategy"]) for record in archive.events("session"))),
        num_samples=int(last["num_samples"]),
        counts=result.counts,
        open=list(archive.unfinished()),
        imported=len(archive.events("imported")),
        best=best_answer(result),
    )


def _merge(request: ArchiveRequest, console: Console) -> Struct:
    assert request.output is not None
    merged = merge_archives(request.folders, request.output, mixed=request.mixed)
    dropped = f"; {merged.n_dropped} of architectures that were evaluated twice left out" if merged.n_dropped else ""
    say(f"{merged.n_evaluations} evaluations in {shown(merged.path)}{dropped}; weights stay where they are", console)
    return MergeAnswer(
        archive=str(merged.path),
        merged=list(map(str, request.folders)),
        evaluations=merged.n_evaluations,
        dropped=merged.n_dropped,
    )


def _export(request: ArchiveRequest, console: Console) -> Struct:
    file = request.output
    assert file is not None
    frames = {str(folder): _stored(folder).to_frame() for folder in request.folders}
    table: pd.DataFrame = pd.concat([frame.assign(archive=name) for name, frame in frames.items()], ignore_index=True)
    _write(table, file)
    say(f"{len(table)} evaluations in {shown(file)}", console)
    return TableAnswer(file=str(file), rows=len(table), columns=list(map(str, table.columns)))


def _write(table: pd.DataFrame, file: Path) -> None:
    if file.suffix not in (".csv", ".json", ".parquet"):
        raise RaynasError(f"cannot write {file.name!r}: name a file that ends in .csv, .json or .parquet")
    try:
        with Replacing(file) as draft:
            if file.suffix == ".csv":
                table.to_csv(draft, index=False)
            elif file.suffix == ".json":
                table.to_json(draft, orient="records", lines=False, indent=1)
            else:
                table.astype({name: str for name in table.columns if table[name].dtype == object}).to_parquet(draft)
    except OSError as error:
        raise RaynasError(f"cannot write {file}: {error.strerror or error}") from None
    except ImportError:
        raise RaynasError("a .parquet file needs pyarrow or fastparquet: install one, or write a .csv file") from None
