import math

import pyarrow as pa
import pytest

from zoo_graph.errors import UnknownNameError
from zoo_graph.scores import ScoreMatrix, score_matrix
from zoo_graph.snapshot import _DATASETS, _DISTANCES, _LINEAGE, _MODELS, _PRETRAINED, _PROXIES, _RESULTS, Snapshot


def snapshot_of(*results: dict[str, object]) -> Snapshot:
    models = sorted({str(row["model"]) for row in results})
    datasets = sorted({str(row["dataset"]) for row in results})
    rows = [
        {"id": str(number), "metric": "accuracy", "method": "full", **row}
        | {"model": models.index(str(row["model"])), "dataset": datasets.index(str(row["dataset"]))}
        for number, row in enumerate(results)
    ]
    return Snapshot(
        1,
        pa.Table.from_pylist([{"id": name} for name in models], schema=_MODELS),
        pa.Table.from_pylist([{"id": name} for name in datasets], schema=_DATASETS),
        pa.Table.from_pylist(rows, schema=_RESULTS),
        _PROXIES.empty_table(),
        _LINEAGE.empty_table(),
        _PRETRAINED.empty_table(),
        _DISTANCES.empty_table(),
    )


def result(model: str, dataset: str, score: float, **conditions: object) -> dict[str, object]:
    return {"model": model, "dataset": dataset, "score": score, **conditions}


def cell(matrix: ScoreMatrix, model: str, dataset: str) -> float:
    return float(matrix.scores[matrix.models.index(model), matrix.datasets.index(dataset)])


def test_repeats_are_averaged_and_their_spread_is_kept() -> None:
    matrix = score_matrix(snapshot_of(result("a", "x", 0.5, seed=0), result("a", "x", 0.7, seed=1)))
    assert matrix.scores[0, 0] == pytest.approx(0.6)
    assert matrix.n[0, 0] == 2
    assert matrix.spread[0, 0] == pytest.approx(math.sqrt(0.02))


def test_a_single_result_has_no_spread() -> None:
    assert math.isnan(score_matrix(snapshot_of(result("a", "x", 0.5))).spread[0, 0])


def test_a_dataset_speaks_the_metric_most_models_were_measured_by() -> None:
    matrix = score_matrix(
        snapshot_of(
            result("a", "x", 0.5),
            result("b", "x", 0.6),
            *(result("c", "x", 0.1 * seed, metric="f1", seed=seed) for seed in range(5)),
        )
    )
    assert matrix.metrics == ("accuracy",)
    assert matrix.models == ("a", "b")
    assert matrix.n_left_out == 5


def test_equally_used_metrics_are_decided_by_name() -> None:
    matrix = score_matrix(snapshot_of(result("a", "x", 0.5, metric="f1"), result("a", "x", 0.9, metric="accuracy")))
    assert matrix.metrics == ("accuracy",)


def test_zero_shot_results_are_not_mixed_with_fine_tuned_ones() -> None:
    matrix = score_matrix(
        snapshot_of(result("a", "x", 0.9), result("b", "x", 0.8), result("c", "x", 0.2, method="zero-shot"))
    )
    assert matrix.models == ("a", "b")
    assert matrix.protocols == ("full",)


def test_an_unstated_method_counts_as_the_commonest_stated_one() -> None:
    matrix = score_matrix(
        snapshot_of(result("a", "x", 0.9), result("b", "x", 0.8, method=None), result("c", "x", 0.7, method=None))
    )
    assert matrix.models == ("a", "b", "c")


def test_numbers_of_shots_are_protocols_of_their_own() -> None:
    matrix = score_matrix(
        snapshot_of(result("a", "x", 0.3, n_shot=5), result("b", "x", 0.4, n_shot=5), result("a", "x", 0.8))
    )
    assert cell(matrix, "a", "x") == pytest.approx(0.3)
    assert matrix.protocols == ("full, 5 shots",)


def test_each_pair_uses_the_commonest_setting_it_was_measured_in() -> None:
    small, large = '{"image_size": 224}', '{"image_size": 384}'
    matrix = score_matrix(
        snapshot_of(
            result("a", "x", 0.5, config=small),
            result("a", "x", 0.9, config=large),
            result("b", "x", 0.6, config=small),
            result("c", "x", 0.7, config=large),
            result("d", "x", 0.8, config=small),
        )
    )
    assert cell(matrix, "a", "x") == pytest.approx(0.5)  # most were measured at 224
    assert cell(matrix, "c", "x") == pytest.approx(0.7)  # but c only at 384, and is not lost


def test_an_excluded_dataset_and_models_known_only_from_it_are_absent() -> None:
    snapshot = snapshot_of(result("a", "x", 0.5), result("a", "y", 0.6), result("b", "y", 0.7))
    matrix = score_matrix(snapshot, exclude_datasets=["y"])
    assert (matrix.models, matrix.datasets) == (("a",), ("x",))


def test_an_unknown_dataset_to_exclude_is_named_with_close_matches() -> None:
    with pytest.raises(UnknownNameError, match="did you mean imdb"):
        score_matrix(snapshot_of(result("a", "imdb", 0.5)), exclude_datasets=["imbd"])


HALF, WHOLE = '{"step":20,"total_steps":80}', '{"total_steps":80}'


def test_a_fine_tune_stopped_before_its_end_is_no_score() -> None:
    whole = [result(model, "x", 0.9, config=WHOLE) for model in "bc"]
    matrix = score_matrix(snapshot_of(result("a", "x", 0.5, config=HALF), *whole))
    assert matrix.models == ("b", "c")
    assert matrix.n_left_out == 1


def test_where_only_the_winner_was_trained_to_the_end_all_count_by_what_they_scored_at_the_same_step() -> None:
    race = [
        *(
            result(model, "x", score, config=HALF, split="validation")
            for model, score in zip("abc", (0.5, 0.6, 0.4), strict=True)
        ),
        result("b", "x", 0.9, config=WHOLE, split="validation"),
        result("b", "x", 0.8, config=WHOLE, split="test"),
    ]
    matrix = score_matrix(snapshot_of(*race))
    assert matrix.scores[:, 0].tolist() == [0.5, 0.6, 0.4]
    target = score_matrix(snapshot_of(*race), choose_for="x")
    assert target.models == ("b",)
    assert cell(target, "b", "x") == 0.9


@pytest.mark.parametrize("config", ['{"step":"final","total_steps":80}', '{"step":5,"unit":"total_steps"}'])
def test_a_users_own_step_is_a_condition_like_any_other(config: str) -> None:
    assert score_matrix(snapshot_of(result("a", "x", 0.5, config=config))).models == ("a",)


def test_any_number_of_shots_can_be_told_apart() -> None:
    matrix = score_matrix(snapshot_of(result("a", "x", 0.5, n_shot=2**63 - 1), result("b", "x", 0.5, n_shot=2**63 - 1)))
    assert matrix.models == ("a", "b")


def test_a_step_without_a_total_is_a_condition_like_any_other() -> None:
    matrix = score_matrix(snapshot_of(result("a", "x", 0.5, config='{"step":20}')))
    assert cell(matrix, "a", "x") == 0.5


def test_no_two_splits_are_mixed_in_one_dataset() -> None:
    matrix = score_matrix(
        snapshot_of(
            result("a", "x", 0.5, split="test"),
            result("b", "x", 0.6, split="test"),
            result("b", "x", 0.9, split="validation"),
            result("c", "x", 0.8, split="validation"),
            result("d", "x", 0.7),
        )
    )
    assert matrix.models == ("a", "b", "d")
    assert cell(matrix, "b", "x") == 0.6
    assert cell(matrix, "d", "x") == 0.7


def test_where_one_chooses_for_a_dataset_its_test_scores_do_not_count() -> None:
    snapshot = snapshot_of(
        result("a", "x", 0.5, split="test"),
        result("b", "x", 0.6, split="test"),
        result("b", "x", 0.9, split="validation"),
        result("a", "y", 0.3, split="test"),
    )
    matrix = score_matrix(snapshot, choose_for="x")
    assert math.isnan(cell(matrix, "a", "x"))
    assert cell(matrix, "b", "x") == 0.9
    assert cell(matrix, "a", "y") == 0.3
