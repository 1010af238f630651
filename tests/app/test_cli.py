"""The command line: what it says, and with which exit code."""

import json
from importlib import resources
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app import cli
from tests.app.serving import SPEC, Served
from worker.jobs.records import Flush, JobError


@pytest.fixture
def run(served: Served):
    """Run a command against the service."""
    return lambda *arguments, stdin=None: CliRunner(env={"HALFSTEP_URL": served.url}).invoke(
        cli.main, list(arguments), input=stdin
    )


def table(tmp_path: Path, header: str, row: str) -> str:
    file = tmp_path / "table.csv"
    file.write_text(f"{header}\n{row}\n{row}", encoding="utf-8")
    return str(file)


def test_an_upload_prints_its_columns_and_the_label_that_it_would_take(run, tmp_path):
    result = run("files", "upload", table(tmp_path, "churned,age,income,city", "1,30,5.5,Oslo"))
    assert (result.exit_code, result.stdout.startswith("file-")) == (0, True)
    assert result.stdout.count("\n") == 1
    assert result.stderr.splitlines() == [
        "table.csv: csv, 2 rows",
        "  churned  int64",
        "  age      int64",
        "  income   float64",
        "  no numbers, cannot be used: city",
        "  labels: city, only because it is the last column; a job may name another in",
        "  `data.y`",
    ]
    named = run("files", "upload", table(tmp_path, "age,label", "30,1"))
    assert named.stderr.splitlines()[-1] == "  labels: label, unless a job names others in `data.y`"


@pytest.fixture
def job_file(tmp_path: Path) -> str:
    file = tmp_path / "job.json"
    file.write_text(json.dumps(SPEC), encoding="utf-8")
    return str(file)


def test_submit_prints_the_id_and_nothing_else(run, job_file, served: Served):
    result: Result = run("submit", job_file)
    assert result.exit_code == 0
    assert served.http.get(f"/v1/training/jobs/{result.stdout.strip()}").status_code == 200


def test_submit_reads_standard_input(run):
    assert run("submit", "-", stdin=json.dumps(SPEC)).exit_code == 0


def test_a_dry_run_says_what_the_job_amounts_to(run, job_file):
    result = run("submit", job_file, "--dry-run")
    assert (result.exit_code, json.loads(result.stdout)["parameters"]) == (0, 650)
    assert run("jobs", "--json").stdout == ""


@pytest.mark.parametrize("arguments", [(), ("--dry-run",)])
def test_warnings_are_counted_and_fit_80_columns(run, tmp_path, arguments):
    file = tmp_path / "job.json"
    compiled = {"loss": "sparse_categorical_crossentropy"}
    file.write_text(json.dumps({**SPEC, "policy": "float16", "compile": compiled}), encoding="utf-8")
    result = run("submit", str(file), *arguments)
    lines = result.stderr.splitlines()
    assert lines.pop(0) == "policy float16: 1 of 1 layers follow it"
    assert (result.exit_code, lines[0]) == (0, "4 warnings:")
    assert all(len(line) <= 80 for line in lines)
    assert "optimizer_assumed at /compile/optimizer" in lines
    assert "unscaled_float16 at /policy" in lines
    assert "RMSprop with learning rate 0.001" in " ".join(line.strip() for line in lines)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{nonsense", "is not JSON"),
        (b"\xff\xfe\x00", "is not UTF-8"),
        (json.dumps({**SPEC, "seed": -1}).encode(), "/seed"),
    ],
)
def test_a_bad_file_is_exit_code_2(run, tmp_path, content, said):
    file = tmp_path / "bad.json"
    file.write_bytes(content)
    result = run("submit", str(file))
    assert result.exit_code == cli.USAGE
    assert said in result.stderr


@pytest.mark.parametrize("arguments", [(), ("--dry-run",)])
def test_an_exported_model_in_place_of_a_job_is_one_fault_that_says_what_to_send(run, arguments):
    export = resources.files("tests.recorded") / "exports" / "keras3__cnn__float32.json"
    result = run("submit", "-", *arguments, stdin=export.read_text(encoding="utf-8"))
    (fault, _) = result.stderr.splitlines()
    assert (result.exit_code, result.stdout) == (2, "")
    assert "(whole job): This is a serialized 'Sequential', not a job. Send it as `model`" in fault.replace('"', "'")


def test_a_missing_file_is_exit_code_2(run):
    result = run("submit", "nowhere.json")
    assert (result.exit_code, "Cannot read nowhere.json" in result.stderr) == (cli.USAGE, True)


@pytest.mark.parametrize("command", [("watch", "job-unknown"), ("cancel", "job-unknown")])
def test_an_unknown_job_is_exit_code_1(run, command):
    result = run(*command)
    assert result.exit_code == cli.FAILED
    assert "There is no 'job-unknown'" in result.stderr


@pytest.mark.parametrize("command", [("jobs",), ("watch", "job-1"), ("doctor",)])
def test_nobody_there_is_exit_code_3(command):
    result = CliRunner(env={"HALFSTEP_URL": "http://127.0.0.1:9"}).invoke(cli.main, list(command))
    assert result.exit_code == cli.UNREACHABLE
    assert "halfstep serve" in result.stderr


def test_watch_follows_to_success(run, served: Served):
    job_id = served.submit()
    claim = served.claimed(job_id)
    served.services.store.record(claim, Flush(52, 2, latest={"loss": 0.5}, loss_scale=1024.0))
    served.services.store.succeed(claim, [])
    result = run("watch", job_id)
    assert (result.exit_code, "succeeded after 52 steps" in result.stdout) == (0, True)
    assert "The job was accepted." in result.stderr


def test_watch_of_a_failed_job_says_why(run, served: Served):
    job_id = served.submit()
    served.services.store.fail(served.claimed(job_id), JobError("nonfinite_loss", "The loss is nan."))
    result = run("watch", job_id)
    assert (result.exit_code, f"{job_id} failed: The loss is nan." in result.stderr) == (cli.FAILED, True)


def test_jobs_are_a_table_or_json_lines(run, served: Served):
    ids = [served.submit(suffix="mine"), served.submit()]
    table = run("jobs").stdout
    assert all(job_id in table for job_id in ids)
    assert "(mine)" in table
    lines = run("jobs", "--json", "--limit", "1").stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ids[1:]
    assert ids[0] not in run("jobs", "--status", "failed").stdout


def test_cancel_says_what_became_of_it(run, served: Served):
    job_id = served.submit()
    assert run("cancel", job_id, "--wait").stdout == f"{job_id} cancelled\n"


def test_the_doctor_names_what_is_missing(run):
    result = run("doctor")
    assert result.exit_code == cli.FAILED
    assert "not ok broker: does not answer" in result.stdout
    assert "ok     database: ok" in result.stdout or "database: ok" in result.stdout


def test_files_are_uploaded_listed_and_deleted(run, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("a,label\n1,0\n2,1\n", encoding="utf-8")
    sent = run("files", "upload", str(table))
    file_id = sent.stdout.strip()
    assert (sent.exit_code, file_id[:5]) == (0, "file-")
    assert json.loads(run("files", "list", "--json").stdout)["columns"] == ["a", "label"]
    assert "label int64[2]" in run("files", "list").stdout
    assert run("files", "delete", file_id).stdout == f"{file_id} deleted\n"
    assert run("files", "list", "--json").stdout == ""


def test_a_bad_row_is_told_on_the_command_line(run, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("a,label\n1,0\n2,oops\n", encoding="utf-8")
    result = run("files", "upload", str(table))
    assert result.exit_code == cli.USAGE
    assert "Row 1, column 'label'" in result.stderr
