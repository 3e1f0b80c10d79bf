"""The catalogue of descriptions."""

from raynas.cli.catalogue import KINDS, catalogue


def test_every_entry_has_a_summary_and_options_of_different_names() -> None:
    assert set(catalogue()) == set(KINDS)
    for table in catalogue().values():
        for entry in table.values():
            assert entry.summary
            names = [option.name for option in entry.options]
            assert len(set(names)) == len(names)


def test_only_a_function_of_the_users_must_be_given() -> None:
    required = {
        f"{option}.{name}.{o.name}"
        for option, table in catalogue().items()
        for name, entry in table.items()
        for o in entry.options
        if o.required
    }
    assert required == {"trainable.function.fn", "trainable.tabular.table"}
