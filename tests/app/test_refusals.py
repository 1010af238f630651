"""What the original refuses, or does not have, is named by every route that takes a job."""

from typing import Any

import pytest

from tests.app.serving import JOBS, Served

INSPECT = "/v1/models/inspect"


def job(version: str, policy: str, shape: list[int], *layers: dict[str, Any], **changes: Any) -> dict[str, Any]:
    entry = {"class_name": "InputLayer", "config": {"name": "entry", "batch_input_shape": [None, *shape]}}
    tail = [{"class_name": "Flatten", "config": {}}, {"class_name": "Dense", "config": {"units": 1, "name": "head"}}]
    row: Any = 0.5
    for size in reversed(shape):
        row = [row] * size
    return {
        "model": {
            "class_name": "Sequential",
            "config": {"name": "small", "layers": [entry, *layers, *tail]},
            "keras_version": version,
        },
        "policy": policy,
        "compile": {"optimizer": "sgd", "loss": "mse"},
        "data": {"x": [row] * 4, "y": [[0.0], [1.0]] * 2},
        **changes,
    }


def layer(class_name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": class_name, "config": {"name": "subject", **config}}


MASKED_MEAN = (layer("Masking", name="mask"), layer("GlobalAveragePooling1D"))


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (
            job("2.4.0", "mixed_bfloat16", [6, 6, 2], layer("Conv2D", filters=2, kernel_size=3)),
            "original_refuses",
            ("'subject'", "TF 2.4.4", "Conv2D in bfloat16", "a GPU may have one", "InvalidArgumentError", '"float32"'),
        ),
        (
            job("2.4.0", "mixed_float16", [4, 3], *MASKED_MEAN),
            "original_refuses",
            ("'subject'", "TF 2.4.4", "any device", "TypeError: Input 'y' of 'Mul' Op has type float32", "float16"),
        ),
        (
            job("3.15.1", "mixed_float16", [6, 2], layer("Conv1DTranspose", filters=2, kernel_size=2, dilation_rate=2)),
            "original_refuses",
            ("'subject'", "Keras 3.15.1 on TensorFlow 2.21", "dilation rates larger than 1"),
        ),
        (
            job("2.4.0", "bfloat16", [3]),
            "original_refuses",
            ("TF 2.4.4", "DivNoNan in bfloat16", "a mixed policy"),
        ),
        (
            job("2.4.0", "mixed_float16", [6, 6, 2], layer("GlobalMaxPooling2D", keepdims=True)),
            "absent_in_original",
            ("'subject'", "TF 2.4.4 has no `keepdims` of GlobalMaxPooling2D"),
        ),
        (
            job("2.15.0", "mixed_float16", [6], layer("Dense", units=2, activation="sparsemax")),
            "absent_in_original",
            ("'subject'", "tf_keras 2.21", "the activation sparsemax"),
        ),
    ],
)
def test_every_route_names_it(served: Served, body: dict[str, Any], code: str, words: tuple[str, ...]):
    for path in (f"{JOBS}?dry_run=true", JOBS):
        response = served.http.post(path, json=body)
        assert response.status_code < 300, response.text
        (notice, *_) = [found for found in response.json()["warnings"] if found["code"] == code]
        assert [text for text in words if text not in notice["message"]] == []
    findings = served.http.post(INSPECT, json=body).json()["lint"]
    (finding, *_) = [found for found in findings if found["code"] == code]
    assert (finding["severity"], finding["pointer"]) == ("warning", notice["pointer"])


def test_a_model_that_names_no_version_makes_no_claim_on_its_library(served: Served):
    body = job("", "mixed_float16", [6], layer("Identity"))
    del body["model"]["keras_version"]
    assert "absent_in_original" not in {
        found["code"] for found in served.http.post(f"{JOBS}?dry_run=true", json=body).json()["warnings"]
    }
    found = {each["code"]: each["severity"] for each in served.http.post(INSPECT, json=body).json()["lint"]}
    assert found["absent_in_original"] == "info"
