"""The name of a search, by which it is resumed."""

from tests.cli.command_lines import search


def test_a_name_for_every_different_search() -> None:
    names = [
        search(*flags).run.name
        for flags in (
            (),
            ("--seed", "1"),
            ("--constraints", "params <= 1e5"),
            ("--epochs", "3"),
            ("--strategy.few", "12"),
            ("--data", "npz:/somewhere/my data.npz"),
            ("--early_stopping", "none"),
        )
    ]
    assert names[1] == "cnn-digits-auto-seed1"
    assert names[5] == "cnn-my_data-auto"
    assert len(set(names)) == len(names)


def test_what_does_not_make_a_search_another() -> None:
    same = ("--num_samples", "200", "--max_concurrent", "1", "--no_progress", "--retrain.epochs", "3", "--seed", "0")
    assert search(*same).run.name == search().run.name
