import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo_graph.errors import InputError
from zoo_graph.metrics import (
    METRICS,
    SYNONYMS,
    comparable,
    declared_metric,
    find_metric,
    infer_unit,
    plausible,
    range_text,
    split_of,
    unknown_metric,
)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("acc", "accuracy"),
        ("accuracy@1", "accuracy"),
        ("eval_accuracy", "accuracy"),
        ("Top1", "accuracy"),
        ("top5", "top5_accuracy"),
        ("accuracy@5", "top5_accuracy"),
        ("top5_err", "top5_error"),
        ("nDCG@10", "ndcg@10"),
        ("ndcg_at_10", "ndcg@10"),
        ("Recall@100", "recall@100"),
        ("Macro F1", "macro_f1"),
        ("eval-loss", "loss"),
        ("V-measure", "v_measure"),
    ],
)
def test_a_metric_is_known_by_many_names(written: str, name: str) -> None:
    found = find_metric(written)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize("written", ["", "zeroshot_acc1_or_task_metric", "accuracies", "@5", "wibble@10"])
def test_other_names_are_unknown(written: str) -> None:
    assert find_metric(written) is None


def test_every_synonym_names_a_metric_of_the_table() -> None:
    assert set(SYNONYMS.values()) <= set(METRICS)
    assert not set(SYNONYMS) & set(METRICS)


def test_an_unknown_metric_is_told_with_close_ones() -> None:
    assert "did you mean accuracy" in unknown_metric("acuracy")
    assert "direction=larger" in unknown_metric("zzzzzz")


def test_percentages_become_fractions_and_errors_are_negated() -> None:
    assert comparable(METRICS["accuracy"], 89.1, "percent") == 0.891
    assert comparable(METRICS["error"], 10.0, "percent") == -0.1
    assert comparable(METRICS["loss"], 2.5, "raw") == -2.5
    assert math.copysign(1, comparable(METRICS["loss"], 0.0, "raw")) == 1


@pytest.mark.parametrize(
    ("metric", "value", "unit", "fits"),
    [
        ("accuracy", 1.0, "fraction", True),
        ("accuracy", 1.01, "fraction", False),
        ("accuracy", -0.01, "fraction", False),
        ("mcc", -0.04, "fraction", True),
        ("accuracy", 100.0, "percent", True),
        ("r2", -12.0, "fraction", True),
        ("r2", 1.1, "fraction", False),
        ("rmse", -1.0, "raw", False),
        ("loss", math.nan, "raw", False),
        ("loss", math.inf, "raw", False),
    ],
)
def test_only_values_a_metric_can_have_are_plausible(metric: str, value: float, unit: str, fits: bool) -> None:
    assert plausible(METRICS[metric], value, unit) is fits


def test_ranges_are_told_in_the_unit_of_the_column() -> None:
    assert range_text(METRICS["accuracy"], "percent") == "0 to 100"
    assert range_text(METRICS["r2"], "fraction") == "1 or less"
    assert range_text(METRICS["rmse"], "raw") == "0 or more"
    assert range_text(METRICS["loss"], "raw") == "any finite number"


def test_a_column_of_percentages_is_told_from_fractions() -> None:
    assert infer_unit(METRICS["accuracy"], [98.9, 0.9, *[50.0] * 18])[0] == "percent"
    assert infer_unit(METRICS["accuracy"], [0.1, 0.9])[0] == "fraction"


def test_a_few_large_values_do_not_turn_fractions_into_percentages() -> None:
    unit, note = infer_unit(METRICS["main_score"], [0.5] * 99 + [3453.0])
    assert unit == "fraction"
    assert "1 of them above 1.5" in note


def test_a_mixed_column_needs_its_unit_said() -> None:
    with pytest.raises(InputError, match="say unit=percent or unit=fraction"):
        infer_unit(METRICS["accuracy"], [85.0, 90.0, 0.85])


def test_the_split_stands_in_some_names() -> None:
    assert split_of("val_accuracy") == "validation"
    assert split_of("test accuracy") == "test"
    assert split_of("eval_accuracy") is None
    assert split_of("accuracy") is None


def test_a_new_metric_needs_a_direction() -> None:
    assert comparable(declared_metric("latency", "smaller"), 3.0, "raw") == -3.0
    with pytest.raises(InputError, match="'up'"):
        declared_metric("latency", "up")


@given(st.sampled_from(sorted(METRICS)), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_score_is_always_the_better_value(name: str, one: float, other: float) -> None:
    metric = METRICS[name]
    better = max(one, other) if metric.direction == "larger" else min(one, other)
    scores = {value: comparable(metric, value, "fraction") for value in (one, other)}
    assert scores[better] == max(scores.values())
