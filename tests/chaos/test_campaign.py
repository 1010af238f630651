"""The short form of `make chaos`: a few jobs, and of the faults those that hurt most."""

from tests.chaos.campaign import Campaign, undisturbed
from tests.chaos.service import served

FAULTS = ("worker killed", "broker killed, its data lost", "worker frozen within a write", "every message tripled")
SETTINGS = {
    "slice_seconds": 1.0,
    "checkpoint_seconds": 0.2,
    "flush_seconds": 0.1,
    "lease_seconds": 4.0,
    "heartbeat_seconds": 0.5,
}


def test_no_fault_loses_doubles_or_changes_a_job(tmp_path):
    kinds = undisturbed(tmp_path / "undisturbed", (8, 12))
    with served(tmp_path / "data", None, "", **SETTINGS) as service:
        campaign = Campaign(service, kinds, seed=1)
        verdict = campaign.run(6, FAULTS, rounds=len(FAULTS))
    assert verdict.faults == []
    assert verdict.jobs >= 6
    assert {name: outcome.times for name, outcome in campaign.outcomes.items()} == dict.fromkeys(FAULTS, 1)
    assert all(campaign.outcomes[name].cut_off for name in ("worker killed", "worker frozen within a write"))
