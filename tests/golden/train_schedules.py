"""Group C: learning rate schedules."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from engine import schedules
from tests.golden.train_case import Findings, building


def schedule(document: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    findings = Findings(document, arrays)
    with building():
        built = schedules.deserialize(document["schedule"])
    steps = arrays[document["steps"]].tolist()
    findings.check("learning rates", "value", [built(step) for step in steps], document["values"])
    findings.same("config", schedules.write_rate(built, findings.conventions), document["schedule"])
    return findings.differences
