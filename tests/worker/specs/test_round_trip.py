"""A job survives JSON, and whatever arrives ends in a job or in a fault with a place: never in anything else."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.worker.specs.jobs import D1, JOB, changed
from tests.worker.specs.strategies import JOBS, JSON, PLACES
from worker.settings import Limits
from worker.specs.check import prepare
from worker.specs.errors import SpecError, from_validation
from worker.specs.job import JobSpec
from worker.specs.layers import LAYERS
from worker.specs.optimizers import OPTIMIZERS


@settings(max_examples=200, deadline=None, derandomize=True)
@given(JOBS)
def test_a_job_survives_json(job):
    spec = JobSpec.model_validate(job)
    assert spec.given() == job
    text = json.dumps(spec.given())
    assert JobSpec.model_validate(json.loads(text)) == spec
    assert JobSpec.model_validate_json(text) == spec
    assert JobSpec.model_validate(spec.given()).given() == job


def outcome(job: Any) -> tuple[str, ...]:
    """Return the pointers of a job's faults; none where it can be trained."""
    try:
        prepare(JobSpec.model_validate(job), Limits())
    except ValidationError as error:
        return tuple(fault.pointer for fault in from_validation(error, job, JobSpec).errors)
    except SpecError as error:
        return tuple(fault.pointer for fault in error.errors)
    return ()


@settings(max_examples=300, deadline=None, derandomize=True)
@given(JOBS)
def test_a_well_shaped_job_is_prepared_or_refused_with_pointers(job):
    for pointer in outcome(job):
        assert pointer.startswith(("/model", "/policy", "/compile", "/fit", "/data"))


@settings(max_examples=500, deadline=None, derandomize=True)
@given(PLACES, JSON)
def test_any_value_in_any_place_is_taken_or_refused_there(place, value):
    for pointer in outcome(changed({place: value})):
        assert pointer.startswith("/")


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.sampled_from([*LAYERS, *OPTIMIZERS]), st.dictionaries(st.sampled_from(sorted(JOB)), JSON), st.booleans())
def test_any_config_of_any_class_is_taken_or_refused(name, config, as_layer):
    node = {"class_name": name, "config": config}
    place = D1 if as_layer else "/compile/optimizer"
    assert all(pointer.startswith("/") for pointer in outcome(changed({place: node})))
