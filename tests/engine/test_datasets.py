import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import datasets
from engine.errors import DataInvalid, InvalidValue, Unsupported

SAMPLES = st.integers(1, 300)


def test_digits_are_what_their_description_says() -> None:
    digits = datasets.load("digits")
    info = datasets.BUILTIN["digits"]
    assert digits.info is info
    assert digits.name == "digits"
    assert {"x": digits.x.shape, "y": digits.y.shape} == dict(info.shapes)
    assert digits.x.dtype == info.dtype
    assert len(digits.x) == info.samples
    assert (digits.x.min(), digits.x.max()) == (0.0, 1.0)
    assert sorted(set(digits.y.tolist())) == list(range(info.classes or 0))
    assert "CC-BY" in info.license


def test_digits_are_the_original_numbers() -> None:
    digits = datasets.load("digits")
    content = (digits.x * 16).astype(np.uint8).tobytes() + digits.y.astype(np.uint8).tobytes()
    assert hashlib.sha256(content).hexdigest() == "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"


def test_every_load_is_a_fresh_copy() -> None:
    datasets.load("digits").x[:] = 0
    assert datasets.load("digits").x.max() == 1.0


def test_unknown_data_set() -> None:
    with pytest.raises(Unsupported, match=r"Unknown dataset: 'digit'\. Did you mean 'digits'"):
        datasets.load("digit")


@given(samples=SAMPLES, share=st.floats(0, 1, exclude_max=True))
def test_split_covers_every_row_once(samples: int, share: float) -> None:
    try:
        train, validation = datasets.split(samples, share)
    except DataInvalid:
        assert int(samples * (1 - share)) in {0, samples}
        assert share > 0
        return
    rows = np.arange(samples)
    assert np.array_equal(np.concatenate([rows[train], rows[validation]]), rows)
    assert len(rows[train]) == int(np.floor(samples * (1 - share)))


def test_split_as_keras_does_it() -> None:
    assert datasets.split(1797, 0.1) == (slice(0, 1617), slice(1617, 1797))
    assert datasets.split(5, 0.0) == (slice(0, 5), slice(5, 5))
    with pytest.raises(DataInvalid, match="contains 1 samples, which is not sufficient"):
        datasets.split(1, 0.5)


@pytest.mark.parametrize("share", [-0.1, 1.0, 2, float("nan")])
def test_split_refuses_what_is_no_share(share: float) -> None:
    with pytest.raises(InvalidValue, match="validation_split"):
        datasets.split(10, share)


@given(seed=st.integers(0, 2**64 - 1), epoch=st.integers(0, 1000), samples=SAMPLES)
def test_order_is_a_permutation_and_remembers_nothing(seed: int, epoch: int, samples: int) -> None:
    first = datasets.order(seed, epoch, samples, shuffle=True)
    datasets.order(seed + 1, epoch + 1, samples, shuffle=True)
    assert np.array_equal(np.sort(first), np.arange(samples))
    assert np.array_equal(datasets.order(seed, epoch, samples, shuffle=True), first)


def test_order_differs_by_epoch_and_by_seed() -> None:
    orders = {tuple(datasets.order(seed, epoch, 50, shuffle=True)) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25


def test_order_stays_the_same_over_releases() -> None:
    assert datasets.order(7, 3, 8, shuffle=True).tolist() == [1, 7, 3, 6, 5, 0, 4, 2]


def test_order_without_shuffle_is_that_of_the_data() -> None:
    assert datasets.order(3, 2, 5, shuffle=False).tolist() == [0, 1, 2, 3, 4]
