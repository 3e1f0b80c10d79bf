"""The pictures and curves of a search in TensorBoard."""

from collections.abc import Hashable, Mapping, Sequence

from raynas.analysis import (
    compared,
    front,
    generation_size,
    hypervolume_history,
    option_shares,
    predictions,
    survival,
)
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.views.amounts import figures as in_figures
from raynas.views.tensorboard.course import Course
from raynas.views.tensorboard.figures import (
    drawings_of,
    fidelity_ranks_figure,
    front_figure,
    predictions_figure,
    score_ranks_figure,
    shares_figures,
    survival_figure,
)
from raynas.views.tensorboard.pictures import Exhibit, Shown
from raynas.views.tensorboard.weights import weights_shown

MAX_CURVES = 400
"""Number of curves of options' shares; spaces with more have them as pictures alone."""

FIRST_TRIALS = 10
"""Number of trials whose worst values are the reference of the hypervolume, so that its curve never changes."""


def exhibits_of(course: Course) -> list[Exhibit]:
    """Return all that is shown of a search beside the curves of trials."""

    def trials() -> int:
        return course.n

    def epochs() -> int:
        return course.weights.epoch if course.weights else 0

    return [
        Exhibit("the Pareto front", trials, lambda: _incumbents(course), lambda: _fronts(course)),
        Exhibit("the drawing of the best", trials, lambda: _drawn(course), lambda: _drawings(course)),
        Exhibit("the table of the best", trials, lambda: _drawn(course), lambda: {"search/best": course.best.table()}),
        Exhibit("the hypervolume", trials, lambda: _some(course), lambda: _hypervolume(course)),
        Exhibit("shares of options", trials, lambda: _some(course), lambda: _shares(course)),
        Exhibit(
            "survival", trials, lambda: _some(course) if course.counts["stopped"] else None, lambda: _survival(course)
        ),
        Exhibit("rank correlations", trials, lambda: _some(course), lambda: _ranks(course)),
        Exhibit("predictions", trials, lambda: _predicted(course), lambda: _measured(course)),
        Exhibit("the derived architecture", epochs, lambda: _derived(course), lambda: _derived_drawings(course)),
        Exhibit("weights of options", epochs, lambda: epochs() or None, lambda: _weights(course)),
    ]


def _some(course: Course) -> Hashable:
    return "some" if course.n else None


def _incumbents(course: Course) -> Hashable:
    return tuple(e.trial for e in course.best.evaluations.values()) if course.n else None


def _drawn(course: Course) -> Hashable:
    return _incumbents(course) if course.best.evaluations else None


def _fronts(course: Course) -> Mapping[str, Shown]:
    size = generation_size(course.archive)
    goal = course.goal
    return {
        f"best/{goal.first.metric} against {o.metric}": front_figure(
            front(course.evaluations, goal, o, generation_size=size)
        )
        for o in compared(goal)
    }


def _drawings(course: Course) -> Mapping[str, Shown]:
    shown: dict[str, Shown] = {}
    if course.derived_space is not course.space:  # the supernet is no architecture of the search
        return shown
    for metric, e in course.best.evaluations.items():
        title = f"trial {e.trial}: {in_figures(e.metrics, course.goal, [metric], ['params'])}"
        for part, drawing in drawings_of(course.space, e.arch, title).items():
            shown[f"best/{metric}: {part or 'network'}"] = drawing
    return shown


def _hypervolume(course: Course) -> Mapping[str, Shown]:
    """Return the hypervolume of the objectives; of one objective, that with the first metric it is compared with."""
    goal, evaluations = course.goal, course.evaluations
    objectives = goal.objectives if len(goal.objectives) > 1 else [goal.first, *compared(goal)[:1]]
    n = FIRST_TRIALS
    while (begun := hypervolume_history(evaluations[:n], goal, objectives)) is None and n < len(evaluations):
        n *= 2
    if begun is None or len(evaluations) < n or len(objectives) < 2:
        return {}
    found = hypervolume_history(evaluations, goal, objectives, reference=begun.reference)
    return {"search/hypervolume": dict(enumerate(found.values, 1))} if found else {}


def _shares(course: Course) -> Mapping[str, Shown]:
    shares = option_shares(course.evaluations, course.space, generation_size=generation_size(course.archive))
    shown: dict[str, Shown] = {f"share/{name}": figure for name, figure in shares_figures(shares).items()}
    if sum(len(each.options) for each in shares) <= MAX_CURVES:
        for each in (each for each in shares if any(map(any, each.shares))):
            shown |= {
                f"share/{each.decision}/{option}": float(share)
                for option, share in zip(each.options, each.shares[-1], strict=True)
            }
    return shown


def _survival(course: Course) -> Mapping[str, Shown]:
    return {"search/survival": survival_figure(survival(course.archive))}


def _ranks(course: Course) -> Mapping[str, Shown]:
    scores = course.cheap_scores()
    curves = {f"spearman/{s.name}": s.correlation.rho for s in scores if s.correlation.low is not None}
    return {
        "search/rank correlation of fidelities": fidelity_ranks_figure(scores),
        "search/rank correlation of cheap scores": score_ranks_figure(scores),
        **curves,
    }


def _predicted(course: Course) -> Hashable:
    return sum(bool(e.first) for e in course.evaluations) or None


def _measured(course: Course) -> Mapping[str, Shown]:
    return measured_shown(course.evaluations, course.goal)


def measured_shown(evaluations: Sequence[Evaluation], goal: Goal) -> Mapping[str, Shown]:
    """Return a picture of each metric that was predicted in a search, or measured in it, and measured at its end."""
    return {f"search/{score.against}": predictions_figure(score) for score in predictions(evaluations, goal)}


def _derived(course: Course) -> Hashable:
    return tuple(course.weights.derived.items()) or None if course.weights else None


def _derived_drawings(course: Course) -> Mapping[str, Shown]:
    if course.weights is None:
        return {}
    space = course.derived_space
    arch = space.from_config({"arch": course.weights.derived})
    drawings = drawings_of(space, arch, f"derived after epoch {course.weights.epoch}")
    return {f"best/derived: {part or 'network'}": drawing for part, drawing in drawings.items()}


def _weights(course: Course) -> Mapping[str, Shown]:
    return weights_shown(course.weights) if course.weights else {}
