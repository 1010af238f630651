import pytest

from tests.fuzz.campaign import campaign


@pytest.mark.timeout(400)  # more than enough alone; tests share two cores with whatever else runs
def test_made_up_requests_find_no_server_error_and_no_answer_off_its_schema(tmp_path):
    # `python -m tests.fuzz` sends 2,000.
    report = campaign(tmp_path, cases=800, changed_jobs=300)
    assert report.faults == []
    assert report.sent.total() >= 800
    assert report.changed_jobs == 300
    assert not [status for status in report.statuses if status >= 500 and status != 503]
    # Good requests were among them, not only refusals.
    assert report.statuses[200] > 50
    assert report.statuses[201] > 3
