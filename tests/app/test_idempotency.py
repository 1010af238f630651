"""A retry with the same Idempotency-Key gets what it made, whatever has changed since: nothing is checked again."""

from typing import Any

import httpx
import pytest

from app.settings import AppSettings
from tests.app.serving import JOBS, SPEC, serving

KEY = {"Idempotency-Key": "retry-1"}
OPENAI = "/v1/fine_tuning/jobs"


def uploaded(http: httpx.Client) -> str:
    rows = "\n".join(f"{row},{row % 2}" for row in range(20))
    files = {"file": ("rows.csv", f"x,label\n{rows}\n".encode())}
    return str(http.post("/v1/files", data={"purpose": "fine-tune"}, files=files).json()["id"])


def of_file(file_id: str) -> dict[str, Any]:
    layers = [
        {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 1], "dtype": "float32"}},
        {"class_name": "Dense", "config": {"name": "dense", "units": 2, "activation": "softmax"}},
    ]
    model = {"class_name": "Sequential", "config": {"name": "small", "layers": layers}}
    return {**SPEC, "model": model, "data": {"file": file_id}}


@pytest.mark.parametrize("face", ["jobs", "sweeps", "openai"])
def test_a_retry_is_answered_though_the_quota_is_reached_and_the_file_is_gone(tmp_path, face: str):
    with serving(tmp_path, AppSettings(quota_jobs=1)) as served:
        http, file_id = served.http, uploaded(served.http)
        spec = of_file(file_id)
        address, body = {
            "jobs": (JOBS, spec),
            "sweeps": ("/v1/sweeps", {"job": spec, "grid": {"/seed": [1]}}),
            "openai": (
                OPENAI,
                {"model": "small", "training_file": file_id, "halfstep": {**spec, "data": {"file": file_id}}},
            ),
        }[face]
        made = http.post(address, json=body, headers=KEY)
        assert made.is_success, made.text
        for job in http.get(JOBS).json()["data"]:
            http.post(f"{JOBS}/{job['id']}/cancel")
        assert http.delete(f"/v1/files/{file_id}").status_code == 200
        served.submit()  # and the quota is reached
        again = http.post(address, json=body, headers=KEY)
        other = http.post(address, json=body)
        assert (again.status_code, again.json()["id"]) == (made.status_code, made.json()["id"])
        assert other.status_code in {400, 422, 429}
        changed = http.post(address, json={**body, "metadata": {"team": "other"}}, headers=KEY)
        assert "idempotency" in changed.text
        assert changed.status_code in {400, 422}
