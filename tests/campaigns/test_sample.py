"""A recorded sample of a campaign: what the real libraries did is done here, or a finding names the difference."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.serving import Served, serving
from tests.campaigns.comparing import Case
from tests.campaigns.reporting import row_of
from tests.campaigns.sample import kept

CASES = kept()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(Path(tmp_path_factory.mktemp("campaign"))) as served:
        yield served


@pytest.mark.parametrize("case", CASES, ids=[f"{case['library']}-{case['seed']}" for case in CASES])
def test_a_random_model_does_what_the_library_does_or_a_finding_names_the_difference(service: Served, case: Case):
    row = row_of(service.http, case)
    assert row.verdict in {"agrees", "named"}, row.text()
