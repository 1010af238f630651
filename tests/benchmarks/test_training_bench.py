from benchmarks.training.measuring import POLICIES, Plan, cells
from benchmarks.training.models import mlp
from benchmarks.training.report import head, lines
from benchmarks.training.systems import MINE


def test_halfstep_alone_is_measured_in_every_policy(tmp_path):
    plan = Plan((MINE,), rounds=1, block=0.001, threads=1, logs=tmp_path)
    (found,) = cells(plan, [mlp(4, (3,), 2)], POLICIES)
    assert [cell.policy for cell in found] == list(POLICIES)
    assert all(cell.ours > 0 and not cell.failures for cell in found)
    assert len(lines(found, plan.systems).splitlines()) == 3
    assert head(plan).startswith("1 thread(s) a system")
