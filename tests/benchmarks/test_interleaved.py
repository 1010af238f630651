from benchmarks.interleaved import Timing, interleave, table


def test_every_call_runs_once_a_round_in_turns():
    ran = []
    interleave({"a": lambda: ran.append("a"), "b": lambda: ran.append("b")}, rounds=3, warmups=1)
    assert "".join(ran) == "ba" + "ab" + "ba" + "ab"


def test_the_first_is_the_reference():
    first, second = interleave({"first": lambda: None, "second": lambda: sum(range(10_000))}, rounds=5)
    assert set(first.ratios) == {1.0}
    assert second.ratio > 1.0
    assert len(second.seconds) == 5


def test_the_ratio_is_taken_round_by_round():
    assert Timing("x", (1.0, 10.0, 100.0), (2.0, 1.0, 4.0)).ratio == 2.0


def test_the_table_names_the_calls():
    text = table((Timing("cast", (0.001,), (1.0,)), Timing("round", (0.0005,), (0.5,))))
    assert "cast" in text
    assert text.splitlines()[2].split() == ["round", "0.500", "0.500", "0.500", "0.500", "1"]
