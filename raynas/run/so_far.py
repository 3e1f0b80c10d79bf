"""The result of a search as far as it got."""

from raynas.core.archive import Archive
from raynas.core.result import SearchResult
from raynas.core.searcher import ArchitectureSearcher
from raynas.core.space import SearchSpace
from raynas.run.networks import TrialNetworks
from raynas.views.result_plots import ResultPlots


def is_open(archive: Archive, num_samples: int) -> bool:
    """Return whether a search of so many trials has unfinished ones, or some that are not proposed yet."""
    return bool(archive.unfinished()) or len(archive.events("proposed")) < num_samples


def result_so_far(
    space: SearchSpace, searcher: ArchitectureSearcher, networks: TrialNetworks, num_samples: int, stopped: str
) -> SearchResult:
    """Return the findings of a search on Tune.

    Args:
        space: the space, without hyperparameters.
        searcher: the searcher, with the archive.
        networks: those of its trials.
        num_samples: number of trials in the end.
        stopped: the reason why Tune ended the search; "" if it did not.
    """
    archive = searcher.archive
    is_interrupted = bool(archive.unfinished()) if searcher.ended_because else is_open(archive, num_samples)
    return SearchResult(
        space=space,
        goal=searcher.goal,
        archive=archive,
        path=networks.path,
        ended_because=stopped or searcher.ended_because,
        interrupted=is_interrupted and not stopped,
        networks=networks,
        plots=ResultPlots(space, searcher.goal, archive),
    )
