"""The authors' training settings by name."""

import pytest

from raynas.errors import UnknownNameError
from raynas.oneshot import ONESHOT
from raynas.trials import SupernetTraining
from raynas.trials.supernet.recipes import RECIPES

AUTHORS = {  # epochs, batch size, first and last learning rate
    "darts": (50, 64, 0.025, 0.001),
    "darts_2nd": (50, 64, 0.025, 0.001),
    "dr_nas": (50, 64, 0.1, 0.0),
    "fair_darts": (50, 128, 0.005, 0.001),
    "p_darts": (3 * 25, 96, 0.025, 0.0),
    "pc_darts": (50, 256, 0.1, 0.001),
    "smooth_darts": (50, 64, 0.025, 0.001),
    "smooth_darts_adv": (50, 64, 0.025, 0.001),
}


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_recipe_has_the_numbers_of_the_authors(name: str) -> None:
    ours = SupernetTraining.paper(name)
    epochs, batch_size, first, last = AUTHORS[name]
    assert type(ours.method) is ONESHOT[name]
    assert (ours.epochs, ours.batch_size, ours.lr) == (epochs, batch_size, first)
    rates = [ours.learning_rate * ours.lr_factor(epoch, epoch + 1) for epoch in (0, epochs)]
    assert rates == pytest.approx([first, last], abs=1e-12)
    assert (ours.optimizer, ours.momentum, ours.nesterov) == ("sgd", 0.9, False)
    assert (ours.weight_decay, ours.clip_norm, ours.augment) == (3e-4, 5, "crop_flip")


def test_a_recipe_can_be_changed_and_must_exist() -> None:
    changed = SupernetTraining.paper("darts", data="digits", epochs=2)
    assert (changed.data, changed.epochs, changed.batch_size) == ("digits", 2, 64)
    with pytest.raises(UnknownNameError, match="unknown recipe 'dart'"):
        SupernetTraining.paper("dart")
