import dataclasses
import json

import pytest

from tests.golden import cases, runner
from tests.golden.__main__ import main

GROUPS = ("G1", "G2", "G3", "G4", "G5", "G6", "G7", "A", "B", "C", "D", "E")
COMPLETE = ("G1", "G2", "G3", "G4", "G5", "G6", "G7")


@pytest.fixture(scope="module")
def deviations():
    return runner.read_deviations()


@pytest.mark.parametrize("group", GROUPS)
def test_no_case_fails(group, deviations):
    tally = runner.run(cases.load(cases.OWN, group), deviations)
    assert tally.failed == []


@pytest.mark.parametrize("group", COMPLETE)
def test_everything_is_built(group):
    tally = runner.run(cases.load(cases.OWN, group))
    assert tally.passed > 0
    assert tally.unsupported.total() == 0


def test_a_changed_expectation_fails_or_deviates_if_allowed():
    case = next(cases.load(cases.OWN, "G1"))
    broken = dataclasses.replace(
        case, document={**case.document, "expected": {**case.document["expected"], "repr": "other"}}
    )
    failing = runner.run([broken])
    assert len(failing.failed) == 1
    assert "expected 'other'" in failing.failed[0]
    assert runner.run([broken], [runner.Deviation(case.id, "a test")]).deviating == 1


def test_unknown_kind_is_unsupported():
    case = dataclasses.replace(next(cases.load(cases.OWN, "G1")), kind="no_such_op")
    assert runner.run([case]).unsupported.total() == 1


def test_every_deviation_has_a_reason(deviations):
    assert all(deviation.cases and deviation.reason for deviation in deviations)


def test_values_that_exist_only_in_python_are_left_out():
    assert not any("__py__" in json.dumps(case.document["input"]) for case in cases.load(cases.OWN, "G1"))


@pytest.mark.parametrize("training", [False, True])
def test_command_line(tmp_path, capsys, training):
    case = next(cases.load(cases.OWN, "A" if training else "G3"))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / f"{case.id}.json").write_text(json.dumps(case.document if training else [case.document]))
    assert main([str(tmp_path), "--group", "B"]) == 0
    assert capsys.readouterr().out == "0 passed, 0 failed, 0 unsupported, 0 deviations\n"


def test_command_line_fails_when_a_case_fails(tmp_path, capsys):
    document = next(cases.load(cases.OWN, "G3")).document
    document["expected"]["ok"] = not document["expected"]["ok"]
    (tmp_path / "g3.json").write_text(json.dumps([document]))
    assert main([str(tmp_path), "--id", document["id"]]) == 1
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{document['id']}: ok: expected ")
    assert last == "0 passed, 1 failed, 0 unsupported, 0 deviations"


def test_command_line_refuses_a_folder_that_is_not_there(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path / "none")])
    assert "is no folder" in capsys.readouterr().err
