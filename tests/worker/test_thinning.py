"""What a plot of few rows must show of many."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from worker.jobs import thinning

FLOATS = st.floats(width=64)
ROWS = st.lists(st.tuples(FLOATS, st.sampled_from([1.0, 2.0, 4.0]), st.booleans()), min_size=1, max_size=300)


def columns_of(rows) -> thinning.Columns:
    loss, scale, applied = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    return {"step": np.arange(1.0, len(rows) + 1), "loss": loss, "loss_scale": scale, "applied": applied}


def same(first: thinning.Columns, second: thinning.Columns) -> bool:
    return all(np.array_equal(first[name], second[name], equal_nan=True) for name in first)


@given(ROWS, st.integers(1, 60))
def test_extremes_skipped_steps_and_the_end_stay(rows, max_points):
    columns = columns_of(rows)
    loss, scale, applied = columns["loss"], columns["loss_scale"], columns["applied"]
    thin = thinning.thin(columns, thinning.stretches(0, len(rows), max_points))
    assert len(thin["step"]) <= max(max_points, thinning.PER_STRETCH + 1)
    assert thin["step"][-1] == len(rows)
    assert (np.diff(thin["step"]) > 0).all()
    assert {thin["loss_scale"].min(), thin["loss_scale"].max()} == {scale.min(), scale.max()}
    numbers = loss[~np.isnan(loss)]
    if len(numbers):
        assert {np.nanmin(thin["loss"]), np.nanmax(thin["loss"])} == {numbers.min(), numbers.max()}
    skipped = columns["step"][applied == 0]
    assert set(skipped[[0, -1]] if len(skipped) else []) <= set(thin["step"])


@given(ROWS, st.integers(1, 60), st.integers(0, 300))
def test_thinning_in_parts_or_again_changes_nothing(rows, max_points, cut):
    columns = columns_of(rows)
    ends = thinning.stretches(0, len(rows), max_points)
    thin = thinning.thin(columns, ends)
    assert same(thinning.thin(thin, ends), thin)
    first = columns["step"] <= cut
    parts = [thinning.thin(thinning.pick(columns, part), ends) for part in (first, ~first) if part.any()]
    assert same(thinning.thin(thinning.join(parts), ends), thin)


def test_columns_that_are_not_there_are_not_asked_for():
    columns = {"step": np.arange(1.0, 101.0), "accuracy": np.linspace(0, 1, 100)}
    assert thinning.thin(columns, thinning.stretches(0, 100, 20))["step"].tolist() == [100.0]
