"""The campaign in its short form, on both databases; `python -m tests.chaos` is the long one."""

import pytest

from tests.chaos.campaign import Campaign, undisturbed
from tests.chaos.service import served
from tests.postgres import running_postgres

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

SETTINGS = {"slice_seconds": 1.0, "checkpoint_seconds": 0.2, "flush_seconds": 0.1, "reaper_seconds": 0.3}
SHORT = {"lease_seconds": 2.0, "heartbeat_seconds": 0.4}


def test_nobody_can_tell_from_the_results_what_happened_on_sqlite(tmp_path):
    faults = ["training child killed", "reaper killed, and a child", "broker killed, its data lost", "API killed"]
    faults += ["reaper's clock an hour back", "every message tripled"]
    kinds = undisturbed(tmp_path / "undisturbed", [6, 10])
    with served(tmp_path / "data", None, "", **SETTINGS) as service:
        campaign = Campaign(service, kinds, seed=5)
        verdict = campaign.run(8, faults, len(faults))
    assert verdict.faults == []
    assert verdict.jobs >= 8
    assert all(outcome.times == 1 for outcome in campaign.outcomes.values())


def test_nobody_can_tell_from_the_results_what_happened_on_postgresql(tmp_path):
    faults = ["PostgreSQL restarted", "worker killed", "worker frozen past its lease", "broker killed"]
    kinds = undisturbed(tmp_path / "undisturbed", [6, 10])
    with (
        running_postgres() as server,
        served(tmp_path / "data", server, server.url(), **SETTINGS, **SHORT) as service,
    ):
        campaign = Campaign(service, kinds, seed=6)
        verdict = campaign.run(6, faults, len(faults))
    assert verdict.faults == []
    assert sum(outcome.times for outcome in campaign.outcomes.values()) == len(faults)
