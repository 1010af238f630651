"""`python -m tests.audit LOCK ...`: known holes in what the locks install; a finding fails."""

import json
import subprocess
import sys
from typing import Any

COMMAND = ("-m", "pip_audit", "--require-hashes", "--disable-pip", "--progress-spinner", "off", "--format", "json")


def verdict(report: dict[str, Any]) -> tuple[int, str]:
    """Return the exit code, and what to say, of a report by pip-audit."""
    found = [(entry, hole) for entry in report["dependencies"] for hole in entry.get("vulns", ())]
    unknown = [entry["name"] for entry in report["dependencies"] if "skip_reason" in entry]
    asked = len(report["dependencies"])
    lines = [
        f"{entry['name']} {entry['version']}: {hole['id']}, mended in {', '.join(hole['fix_versions']) or 'none'}"
        for entry, hole in found
    ]
    if unknown:
        lines.append(
            f"WARNING: PyPI's advisory service knew nothing of {len(unknown)} of {asked} packages; not audited."
        )
    lines.append(f"{asked - len(unknown)} packages audited, {len(found)} known holes")
    return (1 if found else 0), "\n".join(lines)


def main(locks: list[str]) -> int:
    """Audit the locks; print what was found."""
    worst = 0
    for lock in locks:
        ended = subprocess.run([sys.executable, *COMMAND, "-r", lock], capture_output=True, text=True, check=False)
        try:
            code, said = verdict(json.loads(ended.stdout))
        except ValueError:
            reason = (ended.stderr.strip().splitlines() or ["no answer"])[-1]
            code, said = 0, f"WARNING: PyPI's advisory service cannot be reached, nothing was audited: {reason}"
        sys.stdout.write(f"{lock}: {said}\n")
        worst = max(worst, code)
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
