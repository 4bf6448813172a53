import math

from hypothesis import given
from hypothesis import strategies as st

from selection.halving import probe_survivors, ranked, ranked_by_probe

NAN = math.nan


def test_the_higher_score_comes_first() -> None:
    assert ranked({"a": 0.5, "b": 0.7, "c": 0.6}, {}) == ("b", "c", "a")


def test_a_tie_goes_to_the_higher_probe_then_to_the_name() -> None:
    scores = {"c": 0.5, "b": 0.5, "a": 0.5}
    assert ranked(scores, {"c": 0.2, "a": 0.1, "b": 0.1}) == ("c", "a", "b")
    assert ranked(scores, {"b": None, "c": NAN, "a": -3.0}) == ("a", "b", "c")


def test_a_nan_score_is_last() -> None:
    scores = {"a": NAN, "b": 0.1, "c": -5.0}
    assert ranked(scores, {"a": 1.0}) == ("b", "c", "a")


def test_a_missing_probe_counts_as_the_median() -> None:
    probes = {"a": 0.1, "b": None, "c": 0.9, "d": 0.5, "e": NAN}
    assert ranked_by_probe(["a", "b", "c", "d", "e"], probes) == ("c", "b", "d", "e", "a")


def test_without_probes_the_given_order_stands() -> None:
    assert probe_survivors(["z", "a", "m"], 2, {}) == ("z", "a")


@given(st.dictionaries(st.text(max_size=3), st.floats(allow_nan=True), min_size=1), st.randoms())
def test_the_order_of_the_input_changes_nothing(scores: dict[str, float], random: object) -> None:
    names = sorted(scores)
    random.shuffle(names)  # type: ignore[attr-defined]
    assert ranked({name: scores[name] for name in names}, {}) == ranked(scores, {})
