"""Exit codes of the command line, by cause."""

from enum import IntEnum

from raynas.errors import (
    ArchiveError,
    BusyError,
    ContentError,
    DataError,
    InfeasibleError,
    OutsideError,
)


class ExitCode(IntEnum):
    """Exit codes; 2 is that of a wrong command line in most programs, and 130 is 128 and the number of SIGINT."""

    OK = 0
    FAULT = 1
    BAD_INPUT = 2
    NO_RESULT = 3
    UNUSABLE = 4
    BUSY = 5
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.FAULT: "a fault of raynas or of code of yours; the traceback is on stderr",
    ExitCode.BAD_INPUT: "the request is refused: an option, a name, an architecture or a result in it is wrong",
    ExitCode.NO_RESULT: "no architecture meets the constraints, or the search found none",
    ExitCode.UNUSABLE: "an archive, a file or data cannot be used: missing, damaged, or of another search",
    ExitCode.BUSY: "another process holds the archive; try again",
    ExitCode.INTERRUPTED: "interrupted; the same command continues",
}
"""The cause of each exit code, for the documents."""


def exit_code_of(error: BaseException) -> ExitCode:
    """Return the exit code for an error that raynas raised on purpose."""
    if isinstance(error, BusyError):
        return ExitCode.BUSY
    if isinstance(error, InfeasibleError):
        return ExitCode.NO_RESULT
    if isinstance(error, ArchiveError | ContentError | DataError | OutsideError):
        return ExitCode.UNUSABLE
    return ExitCode.BAD_INPUT
