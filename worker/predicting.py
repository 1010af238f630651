"""What a finished model says of new inputs: a process of its own for one request, bounded in memory and time.

`python -m worker.predicting` reads one JSON object from standard input and writes one to standard output. It knows no
database and no queue, and dies with whoever started it. The HTTP process runs it so that a large model can neither
hold up nor fill up what answers everybody.
"""

import json
import resource
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TextIO, cast

import click
import numpy as np

from engine import checkpoint as files
from engine.errors import EngineError
from engine.model import Model
from engine.policy import Policy
from engine.rounding import from_edge
from engine.tape import Array
from worker.jobs.artifacts import ArtifactStore
from worker.jobs.errors import JobNotFound
from worker.lifeline import end_with_parent
from worker.settings import Limits
from worker.specs.errors import SpecError, from_engine
from worker.specs.findings import Findings
from worker.specs.samples import Arrays, Samples, read_inputs
from worker.specs.stages import read_model, read_policy

MODEL = "model.safetensors"
NO_MODEL, NO_MEMORY = "model_gone", "resource_limit"


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the predictions, or what is wrong.

    Args:
        request: `artifacts_url`, `job_id`; `model`, `policy` and `policy_scope` as the job has them; `x` and the limits
            `rows` and `values` of it; `limits` of models.

    Returns:
        `predictions`, `shape` and `dtype`; or `errors`, each with a pointer into `{"x": ...}`; or `failure`, a code.
    """
    try:
        x = read_inputs(request["x"], rows=request["rows"], values=request["values"])
        return _predicted(_model(request, x), x)
    except SpecError as error:
        return {"errors": [asdict(fault) for fault in error.errors]}
    except EngineError as error:
        return {"errors": [asdict(from_engine(error, {"x": request["x"]}))]}
    except JobNotFound:
        return {"failure": NO_MODEL}
    except MemoryError:
        return {"failure": NO_MEMORY}


def _model(request: Mapping[str, Any], x: Arrays) -> Model:
    given = {name: request[name] for name in ("model", "policy", "policy_scope") if request.get(name) is not None}
    findings = Findings(given)
    policy = read_policy(findings)
    model = read_model(findings, Limits(**request["limits"]), policy or Policy("float32"), Samples(x, {}))
    findings.raise_if_any()
    if model is None:
        raise AssertionError("A stage of the check gave up without saying why")
    with ArtifactStore(request["artifacts_url"]).open(request["job_id"], MODEL) as file:
        saved, _ = files.read(cast(files.ReadableFile, file))
    model.set_variables({path: from_edge(array)[0] for path, array in saved.items()})
    return model


def _predicted(model: Model, x: Arrays) -> dict[str, Any]:
    """Return what is told of the output; of several outputs each member holds an object by output name."""
    made = model.predict(x)
    if not isinstance(made, list):
        return _told(made)
    told = {name: _told(array) for name, array in zip(model.network.output_names, made, strict=True)}
    members = {key: {name: one[key] for name, one in told.items()} for key in ("predictions", "shape", "dtype")}
    return {**members, "nonfinite": sum(one["nonfinite"] for one in told.values())}


def _told(made: Array) -> dict[str, Any]:
    values = made.astype(np.float64)
    finite = np.isfinite(values)
    listed = values.astype(object)
    listed[~finite] = None
    return {
        "predictions": listed.tolist(),
        "shape": list(made.shape),
        "dtype": made.dtype.name,
        "nonfinite": int(np.size(finite) - np.count_nonzero(finite)),
    }


def run(source: TextIO, target: TextIO) -> None:
    """Answer the one request of `source`; its `memory` and `seconds` bound this process first."""
    request = json.load(source)
    for kind, most in ((resource.RLIMIT_AS, request["memory"]), (resource.RLIMIT_CPU, request["seconds"])):
        resource.setrlimit(kind, (most, most))
    json.dump(answer(request), target, allow_nan=False)


@click.command()
@click.option("--parent", type=int, help="End when this process, which started this one, ends.")
def main(parent: int | None) -> None:
    """Answer one request from standard input."""
    if parent is not None:
        end_with_parent(parent)
    run(sys.stdin, sys.stdout)


if __name__ == "__main__":
    main()
