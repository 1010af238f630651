"""What the library that wrote the model does, as a job over HTTP shows it: warnings, numbers and how the job ends.

The expected numbers are those of test_bugs_layers.py and test_bugs_losses.py, which the libraries gave.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.app.serving import JOBS, Served, serving
from tests.cases.workers import body, report, trained


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("bugs")) as served:
        yield served


def losses(served: Served, job: dict[str, Any]) -> list[float]:
    answer: list[float] = served.http.get(f"{JOBS}/{job['id']}/metrics").json()["columns"]["loss"]
    return answer


def messages(job: dict[str, Any]) -> dict[str, str]:
    return {notice["code"]: notice["message"] for notice in job["warnings"]}


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [("layernorm-epsilon-1e-12", 2.500732, 0.0816888), ("layernorm-float32-input-keras3", 2.499512, 0.0582902)],
)
def test_layer_normalization_trains_as_the_library_does(served: Served, name: str, first: float, last: float):
    job = trained(served, body("bugs", name))
    assert (job["status"], job["skipped_steps"]) == ("succeeded", 1)
    assert losses(served, job) == pytest.approx([first, first, last], rel=2e-5)
    assert [entry["step"] for entry in report(served, job)["ledger"]] == [1]


def test_a_unit_normalization_of_300_is_foretold_and_learns_nothing(served: Served):
    job = trained(served, body("bugs", "unit-normalization-300"))
    assert "Layer 'un': " in messages(job)["sum_overflow"]
    assert "square of 300 = 90000 > 65504" in messages(job)["sum_overflow"]
    assert (job["status"], job["skipped_steps"]) == ("succeeded", 0)
    assert losses(served, job) == [1.0] * 20


@pytest.mark.parametrize(
    ("name", "layer", "words"),
    [
        ("group-normalization-variance", "gn", "> 65504"),
        ("average-pooling-40x40-keras3", "pool", "1600 x 100 = 160000 > 65504"),
    ],
)
def test_a_job_of_which_no_step_is_applied_fails_as_was_foretold(served: Served, name: str, layer: str, words: str):
    job = trained(served, body("bugs", name))
    assert f"Layer {layer!r}: " in messages(job)["sum_overflow"]
    assert words in messages(job)["sum_overflow"]
    assert (job["status"], job["error"]["code"]) == ("failed", "never_stepped")
    assert report(served, job)["steps"] == {"total": 1, "applied": 0, "skipped": 1}


def test_labels_that_tf_2_4_rounds_are_foretold(served: Served):
    """Which classes are trained then: test_bugs_losses.py."""
    job = trained(served, body("bugs", "sparse-labels-above-2048"))
    assert job["status"] == "succeeded"
    assert "label 2049" in messages(job)["class_numbers_rounded"]


def dot(version: str) -> dict[str, Any]:
    """Return a job whose vectors are divided by norms beyond 65504, in Keras 2 by a sum of squares in float16."""
    entry = {"class_name": "InputLayer", "config": {"name": "row", "batch_input_shape": [None, 2]}, "inbound_nodes": []}
    ends = {"name": "scores", "input_layers": [["row", 0, 0]], "output_layers": [["head", 0, 0]]}

    def layer(class_name: str, name: str, *sources: str, **config: Any) -> dict[str, Any]:
        nodes = [[[source, 0, 0, {}] for source in sources]]
        return {"class_name": class_name, "config": {"name": name, **config}, "name": name, "inbound_nodes": nodes}

    layers = [
        {**entry, "name": "row"},
        layer("Dot", "cosine", "row", "row", axes=1, normalize=True),
        layer("Dense", "head", "cosine", units=1, kernel_initializer="ones"),
    ]
    return {
        "model": {"class_name": "Functional", "config": {**ends, "layers": layers}, "keras_version": version},
        "policy": "mixed_float16",
        "compile": {"loss": "mse"},
        "fit": {"batch_size": 2, "epochs": 4},
        "data": {"x": [[300.0, 400.0], [300.0, 0.0]], "y": [[1.0], [1.0]]},
    }


@pytest.mark.parametrize("version", ["2.4.0", "2.21.0"])
def test_a_cosine_of_long_vectors_is_0_and_is_foretold(served: Served, version: str):
    """Observed in TF 2.4.4 and tf_keras 2.21: l2_normalize of float16 gives 0 for [300, 400] and for [300, 0]."""
    job = trained(served, dot(version))
    found = messages(job)
    assert "Layer 'cosine': " in found["sum_overflow"]
    assert "RMSprop with learning rate 0.001" in found["optimizer_assumed"]
    assert losses(served, job)[0] == 1.0


def test_data_are_looked_at_column_by_column_and_the_label_that_was_guessed_is_named(served: Served):
    rows = [
        "age,big,same,wide,income",
        *(f"{20 + index % 40},{index * 1000},7,{index * 100},{index % 2}" for index in range(80)),
    ]
    uploaded = served.http.post(
        "/v1/files", files={"file": ("table.csv", "\n".join(rows).encode())}, data={"purpose": "fine-tune"}
    )
    assert uploaded.status_code < 300, uploaded.text
    entry = {"class_name": "InputLayer", "config": {"name": "row", "batch_input_shape": [None, 4]}}
    head = {"class_name": "Dense", "config": {"name": "head", "units": 1, "activation": "sigmoid"}}
    job = trained(
        served,
        {
            "model": {"class_name": "Sequential", "config": {"name": "table", "layers": [entry, head]}},
            "policy": "mixed_float16",
            "compile": {"optimizer": "sgd", "loss": "binary_crossentropy"},
            "fit": {"epochs": 1},
            "data": {"file": uploaded.json()["id"]},
        },
    )
    found = messages(job)
    assert "the last one, income, is taken as labels" in found["label_assumed"].replace('"', "").replace("'", "")
    for code, column in {"input_overflow": "big", "constant_column": "same", "unscaled_input": "wide"}.items():
        assert f"'{column}'" in found[code].replace('"', "'"), found[code]
