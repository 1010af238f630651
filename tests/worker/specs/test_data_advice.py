"""What is doubtful about the data of a job: with the columns, in figures, at linear cost."""

import time
import tracemalloc
from typing import Any

import numpy as np
import pytest

from engine.dtypes import BFLOAT16, FLOAT16
from engine.numerics.data_rules import Table, figures_of, input_findings
from tests.engine.numerics.subjects import dense, layer
from worker.settings import Limits
from worker.specs.check import Prepared, prepare
from worker.specs.files.content import Content
from worker.specs.inspect_model import inspect_model
from worker.specs.inspection import InspectRequest
from worker.specs.job import JobSpec
from worker.specs.notices import Notice
from worker.specs.sources import Source

ROWS = 600
RANDOM = np.random.default_rng(0)


class OneFile:
    """The uploaded files of somebody who has one."""

    def __init__(self, **columns: Any) -> None:
        self.content = Content({name: np.asarray(values) for name, values in columns.items()}, tuple(columns), True)

    def read(self, file_id: str) -> Source:
        return Source("0" * 64, self.content)


def unit() -> np.ndarray:
    return RANDOM.normal(size=ROWS)


def labels() -> np.ndarray:
    return RANDOM.integers(0, 2, ROWS)


def job(width: int, *layers: Any, loss: str = "binary_crossentropy", **settings: Any) -> dict[str, Any]:
    body = layers or (dense("body"), dense("out", 1, activation="sigmoid", dtype="float32"))
    entry = layer("InputLayer", batch_input_shape=[None, width], name="x")
    return {
        "model": {"class_name": "Sequential", "config": {"name": "m", "layers": [entry, *body]}},
        "policy": "mixed_float16",
        "compile": {"optimizer": "adam", "loss": loss},
        "data": {"file": "file-1"},
        **settings,
    }


def checked(columns: dict[str, Any], *layers: Any, **settings: Any) -> Prepared:
    width = len(columns) - 1
    return prepare(JobSpec.model_validate(job(width, *layers, **settings)), Limits(), OneFile(**columns))


def said(columns: dict[str, Any], *layers: Any, **settings: Any) -> dict[str, Notice]:
    return {notice.code: notice for notice in checked(columns, *layers, **settings).warnings}


def test_good_data_need_no_word() -> None:
    assert said({"a": unit(), "b": unit(), "label": labels()}) == {}


def churn() -> dict[str, Any]:
    income, balance = RANDOM.uniform(0, 99449, ROWS), RANDOM.uniform(0, 311451, ROWS)
    return {"age": RANDOM.integers(18, 80, ROWS), "income": income, "balance": balance, "label": labels()}


def test_columns_beyond_the_compute_dtype_are_named() -> None:
    columns = churn()
    rows = int(((columns["income"] > 65504) | (columns["balance"] > 65504)).sum())
    notice = said(columns)["input_overflow"]
    assert notice.pointer == "/data/x"
    assert notice.message.startswith("Columns 'balance', 'income' of `x` go up to 311")
    assert "beyond 65504, where float16 ends" in notice.message
    assert f"{rows} of 600 rows" in notice.message
    for policy in ("float32", "mixed_bfloat16"):
        assert "input_overflow" not in said(columns, policy=policy)


@pytest.mark.parametrize(
    "first",
    [dense("body", dtype="float32"), layer("Rescaling", name="scaled", scale=1e-6, dtype="float32")],
)
def test_a_first_layer_in_float32_takes_them(first: dict[str, Any]) -> None:
    layers = (first, dense("out", 1, activation="sigmoid", dtype="float32"))
    assert "input_overflow" not in said(churn(), *layers, policy_scope="unset")


def test_a_layer_that_only_moves_values_casts_them_too() -> None:
    ends = (dense("body", dtype="float32"), dense("out", 1, activation="sigmoid", dtype="float32"))
    assert "input_overflow" in said(churn(), layer("Flatten", name="flat"), *ends)


@pytest.mark.parametrize(("policy", "exact"), [("mixed_float16", "2048"), ("mixed_bfloat16", "256")])
def test_identifiers_that_collapse_are_counted(policy: str, exact: str) -> None:
    numbers = np.arange(ROWS) + 10_000
    notice = said({"customer": numbers, "b": unit(), "label": labels()}, policy=policy)["input_collapse"]
    dtype = {"mixed_float16": FLOAT16, "mixed_bfloat16": BFLOAT16}[policy]
    left = len(np.unique(numbers.astype(dtype.edge)))
    assert f"of 600 different ones, {left} are left" in notice.message
    assert "Column 'customer'" in notice.message
    assert f"exact up to {exact}" in notice.message
    assert "input_collapse" not in said({"year": np.arange(ROWS) % 200, "b": unit(), "label": labels()}, policy=policy)


def test_a_spread_below_the_grid_collapses() -> None:
    kelvin = 300 + unit() / 100
    assert "Column 'kelvin'" in said({"kelvin": kelvin, "b": unit(), "label": labels()})["input_collapse"].message


def test_constant_columns_are_named() -> None:
    columns = {"a": unit(), "one": np.ones(ROWS), "zero": np.zeros(ROWS), "label": labels()}
    message = said(columns)["constant_column"].message
    assert message.startswith("Columns 'one', 'zero' of `x` hold one value each in every row")


def test_unscaled_columns_are_named() -> None:
    notice = said({"age": 40 + 10 * unit(), "income": 30_000 + 5_000 * unit(), "label": labels()})["unscaled_input"]
    assert notice.message.startswith("Column 'income' of `x` is not scaled: mean ")
    far = said({"a": unit() / 1000, "b": unit(), "label": labels()})["unscaled_input"]
    assert "in column 'b' of `x`" in far.message
    assert "in column 'a' of `x`" in far.message
    first = layer("BatchNormalization", name="norm")
    assert "unscaled_input" not in said(
        {"a": unit() * 1000, "b": unit(), "label": labels()}, first, dense("out", 1, activation="sigmoid")
    )


def test_rare_classes_are_counted_unless_weights_say_so() -> None:
    rare = (np.arange(ROWS) % 60 == 0).astype(int)
    columns = {"a": unit(), "b": unit(), "label": rare}
    notice = said(columns)["class_imbalance"]
    assert notice.pointer == "/data/y"
    assert "('label'): class 0 has 590 of 600 labels, class 1 has 10" in notice.message
    weighted = {**job(2), "fit": {"class_weight": {"1": 59.0}}}
    found = prepare(JobSpec.model_validate(weighted), Limits(), OneFile(**columns)).warnings
    assert [each.code for each in found] == []
    one_hot = (dense("body"), dense("out", 3, activation="softmax", dtype="float32"))
    three = {"a": unit(), "b": unit(), "label": np.minimum(np.arange(ROWS) % 40, 2)}
    assert "class_imbalance" in said(three, *one_hot, loss="sparse_categorical_crossentropy")


def test_labels_that_say_nothing_or_cannot_be_reached() -> None:
    assert "constant_labels" in said({"a": unit(), "b": unit(), "label": np.ones(ROWS, int)})
    ends = (dense("body"), dense("out", 1, activation="sigmoid", dtype="float32"))
    notice = said({"a": unit(), "b": unit(), "price": 100 * unit() ** 2}, *ends, loss="mse")["labels_out_of_reach"]
    assert "('price') goes from" in notice.message
    assert "the last layer (sigmoid) gives 0 to 1" in notice.message
    narrow = (dense("body"), dense("out", 1))
    high = said({"a": unit(), "b": unit(), "price": 1e6 * unit()}, *narrow, loss="mse")["labels_out_of_reach"]
    assert "the last layer (float16) gives -65504 to 65504" in high.message
    assert "labels_out_of_reach" not in said({"a": unit(), "b": unit(), "price": unit()}, *narrow, loss="mse")


def test_a_guessed_label_is_told_with_all_columns() -> None:
    result = checked({"churned": labels(), "age": unit(), "income": labels()})
    (notice,) = result.warnings
    assert (notice.code, notice.pointer) == ("label_assumed", "/data/y")
    assert 'the last one, "income", is taken as labels and "churned", "age" as inputs' in notice.message
    assert (result.summary.x_columns, result.summary.y_columns) == (("churned", "age"), ("income",))
    named = checked({"age": unit(), "income": unit(), "label": labels()})
    assert (named.warnings, named.summary.y_columns) == ((), ("label",))


def test_inspection_looks_at_data_as_submit_does() -> None:
    columns = churn()
    looked = inspect_model(InspectRequest.model_validate(job(3)), Limits(), OneFile(**columns))
    found = [(each.code, each.pointer) for each in looked.lint if each.severity != "info"]
    assert found == [(notice.code, notice.pointer) for notice in checked(columns).warnings]
    assert found[0] == ("input_overflow", "/data/x")
    # Data that do not fit the model are refused by a submit; to look at the model they are no hindrance.
    assert inspect_model(InspectRequest.model_validate(job(5)), Limits(), OneFile(**columns)).lint == ()


def test_columns_of_inline_data_have_numbers() -> None:
    x = [[i, 1e5 * i, 7] for i in range(10)]
    inline = {**job(3), "data": {"x": x, "y": [i % 2 for i in range(10)]}}
    found = {notice.code: notice for notice in prepare(JobSpec.model_validate(inline), Limits()).warnings}
    assert "Column 1 of `x` goes up to 900000" in found["input_overflow"].message
    assert "Column 2 of `x` holds 7" in found["constant_column"].message
    assert found["input_overflow"].pointer == "/data/x"


def test_built_in_data_are_not_looked_at() -> None:
    head = dense("out", 10, activation="softmax", dtype="float32")
    model = job(64, dense("body"), head, loss="sparse_categorical_crossentropy")
    assert prepare(JobSpec.model_validate({**model, "data": {"dataset": "digits"}}), Limits()).warnings == ()


def test_a_finding_names_few_columns_and_counts_the_rest() -> None:
    table = Table("`x`", np.full((20, 10_000), 1e6))
    (first, *_) = input_findings(table, [FLOAT16], scaled=False)
    assert "columns 0, 1, 2, 3, 4 and 9,995 more" in first.why.lower()
    assert len(first.why) < 300


def test_figures_are_exact_where_means_are_far_from_0() -> None:
    values = 1e8 + RANDOM.normal(size=(5000, 3))
    figures = figures_of(Table("`x`", values))
    np.testing.assert_allclose(figures.mean, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(figures.spread, values.std(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(figures.largest, np.abs(values).max(axis=0))


def test_the_cost_is_linear_and_memory_is_bounded() -> None:
    table = Table("`x`", RANDOM.normal(size=(200_000, 20)).astype(np.float32) * 1e5)
    tracemalloc.start()
    began = time.process_time()
    assert list(input_findings(table, [FLOAT16, BFLOAT16], scaled=False))
    took = time.process_time() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert took < 3
    assert peak < 60_000_000
