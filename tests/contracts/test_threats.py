"""Each threat in docs/security.md names tests, and those exist; CI audits what is installed."""

import ast
import re

from tests import audit
from tests.contracts.sources import ROOT

ROWS = (ROOT / "docs" / "security.md").read_text(encoding="utf-8").split("## Threats")[1].split("##")[0]
THREATS = [line.strip("| ").split(" | ") for line in ROWS.splitlines() if line.startswith("| ")][1:]


def names_there_are() -> set[str]:
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "tests").rglob("test_*.py"))
    return {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_threat_names_tests_that_exist():
    assert len(THREATS) > 20
    there = names_there_are()
    for threat, _, named in THREATS:
        names = re.findall(r"`(test_\w+)`", named)
        assert names, threat
        assert set(names) <= there, threat


def test_ci_audits_both_locks():
    assert re.search(r"^make audit$", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), flags=re.MULTILINE)
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").split("\naudit:")[1].split("\n\n")[0]
    assert "requirements.lock" in recipe
    assert "requirements-dev.lock" in recipe


def test_a_known_hole_fails_and_a_service_that_knows_nothing_warns():
    hole = {"id": "PYSEC-1", "fix_versions": ["2.0"], "aliases": [], "description": ""}
    code, said = audit.verdict({"dependencies": [{"name": "a", "version": "1.0", "vulns": [hole]}]})
    assert (code, said.splitlines()[0]) == (1, "a 1.0: PYSEC-1, mended in 2.0")
    code, said = audit.verdict({"dependencies": [{"name": "a", "skip_reason": "not found"}]})
    assert code == 0
    assert said.startswith("WARNING: PyPI's advisory service knew nothing of 1 of 1 packages")
