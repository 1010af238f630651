import pytest

from tests.fuzz import campaign as open_to_all
from tests.fuzz import tenants


@pytest.mark.timeout(400)  # more than enough alone; tests share two cores with whatever else runs
def test_made_up_requests_find_no_server_error_and_no_answer_off_its_schema(tmp_path):
    # `python -m tests.fuzz` sends 2,000.
    report = open_to_all.campaign(tmp_path, cases=600, changed_jobs=300)
    assert report.faults == []
    assert report.sent.total() >= 600
    assert report.changed_jobs == 300
    assert not [status for status in report.statuses if status >= 500 and status != 503]
    # Good requests were among them, not only refusals.
    assert report.statuses[200] > 50
    assert report.statuses[201] > 3


@pytest.mark.timeout(400)
def test_made_up_requests_without_rights_see_nothing(tmp_path):
    # `python -m tests.fuzz --auth` sends 2,000.
    report = tenants.campaign(tmp_path, cases=250, changed_jobs=30)
    assert report.faults == []
    assert report.sent.total() >= 250
    # A key of one's own opens the door, a wrong one and none do not.
    assert report.statuses[200] > 20
    assert report.statuses[401] > 50
