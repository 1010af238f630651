"""Figures and log lines, as those who collect them see them."""

import json
import logging
from collections.abc import Callable, Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.serve import cut
from app.settings import AppSettings
from tests.app.keyed import keyed
from tests.app.serving import JOBS, serving
from worker.jobs import figures, logs
from worker.jobs.figures import SliceFigures
from worker.queue import CeleryQueue


def read(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}


def test_the_service_is_told_in_figures(tmp_path, broker_url):
    with serving(tmp_path, broker_url=broker_url) as served:
        job_id = served.submit()
        served.http.get(f"{JOBS}/{job_id}")
        served.http.get("/no/such/place")
        served.services.queue.count(SliceFigures("queued", 20.4, 20.1, 900, 3).counts())
        served.services.queue.count(SliceFigures("succeeded", 0.4, 0.2, 30, 0).counts())
        served.services.queue.count({figures.LEASES_LOST: 2})
        answer = served.http.get("/metrics")
        said = read(answer.text)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert said["halfstep_jobs", (("status", "queued"),)] == 1
    assert said["halfstep_up", (("part", "database"),)] == said["halfstep_up", (("part", "broker"),)] == 1
    assert said["halfstep_workers", ()] == 0
    assert (said["halfstep_steps_total", ()], said["halfstep_skipped_steps_total", ()]) == (930, 3)
    assert said["halfstep_leases_lost_total", ()] == 2
    assert said["halfstep_slices_total", (("outcome", "succeeded"),)] == 1
    assert said["halfstep_slice_seconds_bucket", (("le", "0.5"),)] == 1
    assert said["halfstep_slice_seconds_bucket", (("le", "20.0"),)] == 1
    assert said["halfstep_slice_seconds_bucket", (("le", "+Inf"),)] == said["halfstep_slice_seconds_count", ()] == 2
    assert said["halfstep_slice_seconds_sum", ()] == pytest.approx(20.8)
    route = ("route", f"{JOBS}/{{job_id}}")
    assert said["halfstep_http_request_seconds_count", (("method", "GET"), route, ("status", "200"))] == 1
    assert not any(job_id in str(labels) for _, labels in said)
    unknown = (("method", "unknown"), ("route", "unknown"), ("status", "404"))
    assert said["halfstep_http_request_seconds_count", unknown] == 1


def test_without_a_broker_the_rest_is_still_told(served):
    said = read(served.http.get("/metrics").text)
    assert said["halfstep_up", (("part", "broker"),)] == 0
    assert said["halfstep_up", (("part", "database"),)] == 1
    assert ("halfstep_jobs", (("status", "running"),)) in said


def test_two_processes_add_to_the_same_sums(broker_url):
    here, there = CeleryQueue(broker_url), CeleryQueue(broker_url)
    for queue in (here, there):
        queue.count({"steps": 5})
    assert here.counted() == there.counted() == {"steps": 10.0}
    here.close()
    there.close()


@pytest.fixture
def lines(capsys) -> Iterator[Callable[[], str]]:
    """What was written to standard error; the loggers are as they were afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield lambda: capsys.readouterr().err
    root.handlers[:] = handlers
    root.setLevel(level)


def test_json_lines_name_request_and_job(lines):
    logs.configure("json")
    with logs.belonging(job_id="job-1"):
        logging.getLogger("worker.anything").warning("slice %d ended", 3)
    logging.getLogger("worker.anything").info("later", extra={"ms": 1.5})
    first, later = map(json.loads, lines().splitlines())
    assert (first["event"], first["level"], first["job_id"]) == ("slice 3 ended", "warning", "job-1")
    assert (later["ms"], later["logger"]) == (1.5, "worker.anything")
    assert "job_id" not in later


def test_an_exception_is_one_line_of_json(lines):
    logs.configure("json")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("worker.anything").exception("it failed")
    (line,) = map(json.loads, lines().splitlines())
    assert "ValueError: two" in line["exception"]


def test_lines_for_people_say_the_same(lines):
    logs.configure("console")
    with logs.belonging(request_id="req-7"):
        logging.getLogger("app.anything").info("answered")
    written = lines()
    assert "answered" in written
    assert "request_id=req-7" in written


def asked(served, lines) -> list[tuple[str, str, int]]:
    """Ask for things that read, change and fail; return the method, path and status of each line about an answer."""
    logs.configure("json")
    served.http.get("/v1/policies")
    served.http.post("/v1/policies/validate", json={"policy": "mixed_float16"})
    served.submit()
    served.http.get(f"{JOBS}/job-0")
    told = [line for line in map(json.loads, lines().splitlines()) if line["event"] == "answered"]
    assert all(line["request_id"] and line["ms"] >= 0 for line in told)
    return [(line["method"], line["path"], line["status"]) for line in told]


def test_changes_and_refusals_get_a_line_each(served, lines):
    assert asked(served, lines) == [("POST", JOBS, 201), ("GET", f"{JOBS}/job-0", 404)]


def test_every_answer_gets_a_line_if_wanted(tmp_path, lines):
    with serving(tmp_path, AppSettings(log_answers="all")) as served:
        assert [status for _, _, status in asked(served, lines)] == [200, 200, 201, 404]


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_line_is_short_however_long_the_path(served, lines, form):
    logs.configure(form)
    served.http.get("/v1/" + "a" * 40_000)
    (line,) = [line for line in lines().splitlines() if "answered" in line]
    assert len(line) < 2000
    assert "characters left out" in line


def test_what_the_gate_turns_away_by_its_rate_gets_no_line_each(tmp_path, lines):
    with keyed(tmp_path, rate_of_failures=3) as service, service.http("") as nobody:
        logs.configure("json")
        codes = [nobody.get("/v1/queue").status_code for _ in range(10)]
    told = [json.loads(line) for line in lines().splitlines()]
    assert codes.count(429) == 7
    assert [line["status"] for line in told if line["event"] == "answered"] == [401, 401, 401]


def test_a_log_is_cut_while_it_is_written_to(tmp_path):
    log = tmp_path / "http.log"
    with log.open("a") as written:
        written.write("early\n" * 100)
        written.flush()
        cut(log, most=1000)
        assert log.read_text() == "early\n" * 100
        cut(log, most=100)
        written.write("late\n")
    assert log.read_text() == "late\n"
    assert (tmp_path / "http.log.1").read_text() == "early\n" * 100
