from app.scale_plot import plot


def test_the_scale_falls_until_a_step_is_applied():
    scales = [8.0, 4.0, 2.0, 2.0, 4.0]
    lines = plot([1, 2, 3, 4, 5], scales, [False, False, True, True, True]).splitlines()
    assert lines[:3] == ["      2^3 │╳", "      2^2 │ ╳  ━", "      2^1 │  ━━"]
    assert lines[3].endswith("└─────")
    assert lines[4].split() == ["1", "5", "steps"]


def test_many_steps_share_a_column_and_a_skipped_one_is_seen():
    steps = list(range(1, 1001))
    applied = [step != 500 for step in steps]
    (row, *_) = plot(steps, [1024.0] * 1000, applied, width=50).splitlines()
    assert row.count("╳") == 1
    assert len(row) == len("     2^10 │") + 50


def test_no_steps_no_plot():
    assert plot([], [], []) == ""
