"""Images in memory: what a search, a lower fidelity and the final training get of them."""

import dataclasses

import numpy as np

from raynas.data.image_sets import load_images


def test_trials_get_no_test_split() -> None:
    assert load_images("digits").without_test().test is None


def test_the_final_training_gets_the_validation_split_too() -> None:
    data = load_images("digits")
    final = data.for_final_training()
    assert len(final.train) == len(data.train) + len(data.valid)
    assert data.test is not None and final.test is data.test


def test_without_a_test_split_the_validation_split_is_tested_on_and_not_trained_on() -> None:
    data = load_images("digits").without_test()
    final = data.for_final_training()
    assert final.test is data.valid and final.train is data.train


def test_lower_fidelity_keeps_the_validation_split_whole() -> None:
    data = load_images("digits")
    low = data.reduced(0.1, resolution=4)
    assert len(low.valid) == len(data.valid) and low.input_shape == (1, 4, 4)
    assert np.abs(np.bincount(low.train.labels) - np.bincount(data.train.labels) * 0.1).max() < 1
    assert data.reduced() is data


def test_halves_share_nothing() -> None:
    data = load_images("digits")
    numbered = np.arange(len(data.train), dtype=np.float32).reshape(-1, 1, 1, 1)
    data = dataclasses.replace(data, train=dataclasses.replace(data.train, images=numbered))
    first, second = (set(half.train.array.ravel()) for half in data.halves())
    assert not first & second and len(first | second) == len(data.train)
    assert abs(len(first) - len(second)) <= data.n_classes


def test_the_second_half_is_validated_on_itself() -> None:
    data = load_images("digits")
    first, second = data.halves()
    assert second.valid is second.train and first.valid is data.valid
