from raynas.core.architecture import Config
from raynas.core.outcome import Result
from raynas.strategies import GridSearch
from raynas.testing import ToySpace, run_trials

SPACE = ToySpace(n_layers=2, n_options=3)


def test_a_search_is_continued_after_its_running_trials() -> None:
    searcher = GridSearch().searcher(SPACE, costs={})
    searcher.suggest("00001")
    asked: list[Config] = []

    def evaluate(config: Config) -> Result:
        asked.append(config)
        return SPACE.result(config)

    configs = run_trials(searcher, evaluate, 3)
    assert configs == asked == [{"arch": {"layers.0": 0, "layers.1": i}} for i in range(3)]
    assert [e.trial for e in searcher.archive.evaluations] == ["00001", "00002", "00003"]
    assert run_trials(searcher, evaluate, 3) == configs and len(asked) == 3


def test_an_exhausted_space_ends_it() -> None:
    assert len(run_trials(GridSearch().searcher(SPACE, costs={}), SPACE.result, 1000)) == SPACE.size
