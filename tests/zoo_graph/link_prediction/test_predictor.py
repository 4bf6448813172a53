from dataclasses import replace

import numpy as np
import pytest
import torch

from zoo_graph.errors import UnknownNameError
from zoo_graph.link_prediction.features import schema_of
from zoo_graph.link_prediction.graph import ZooGraph
from zoo_graph.link_prediction.hetero import frame_of
from zoo_graph.link_prediction.predictor import HeldOut, Predictor, Trained, _gain, out_of_fold, settle, train
from zoo_graph.link_prediction.results import Results, history, read_results

TARGETS = ("d3", "d6")


@pytest.fixture(scope="module")
def zoo(planted) -> ZooGraph:
    graph: ZooGraph = planted()
    return graph


@pytest.fixture(scope="module")
def trained(zoo, quick) -> Predictor:
    return train(zoo, settings=quick)


def correlations(predicted: np.ndarray, truth: np.ndarray) -> list[float]:
    return [float(np.corrcoef(p, y)[0, 1]) for p, y in zip(predicted.T, truth.T, strict=True)]


def past(zoo: ZooGraph) -> np.ndarray:
    results = read_results(zoo.scores)
    return np.column_stack([history(results.hide(np.array([d]))) for d in range(len(zoo.datasets))])


def test_models_good_at_one_kind_of_dataset_are_told_apart_better_than_by_history(zoo, quick) -> None:
    without_proxies = replace(zoo, proxies={})
    predicted = out_of_fold(without_proxies, folds=3, settings=quick)
    assert np.mean(correlations(predicted, zoo.scores)) > np.mean(correlations(past(zoo), zoo.scores)) + 0.2


def test_the_scores_of_a_target_change_nothing_in_its_prediction(zoo, trained) -> None:
    column = zoo.datasets.index("d3")
    scores = zoo.scores.copy()
    scores[:, column] = scores[::-1, column] * 7
    changed = trained.predict(zoo.with_scores(scores), ["d3"])
    hidden = trained.predict(zoo.without("d3"), ["d3"])
    first = trained.predict(zoo, ["d3"])
    for other in (changed, hidden):
        assert np.array_equal(first.mean, other.mean)
        assert np.array_equal(first.low, other.low)


def test_the_scores_of_a_fold_change_nothing_in_its_out_of_fold_predictions(planted, quick) -> None:
    zoo, quick = planted(n_models=16, n_datasets=12), replace(quick, steps=16, learning_rate=0.03)
    # Noise enough for a multiplier between 0 and 1: at either end it would not move with what it must not see.
    zoo = zoo.with_scores(zoo.scores + 3 * np.random.default_rng(9).normal(size=zoo.scores.shape))
    column = zoo.datasets.index("d3")
    scores = zoo.scores.copy()
    scores[:, column] = scores[::-1, column] * 7
    first = out_of_fold(zoo, folds=3, settings=quick)
    second = out_of_fold(zoo.with_scores(scores), folds=3, settings=quick)
    assert np.array_equal(first[:, column], second[:, column])
    assert not np.array_equal(first, second)


def test_permuted_models_and_datasets_permute_the_prediction(zoo, trained) -> None:
    generator = np.random.default_rng(1)
    rows, columns = generator.permutation(len(zoo.models)), generator.permutation(len(zoo.datasets))
    first = trained.predict(zoo, TARGETS)
    permuted = trained.predict(zoo.take_models(rows).take_datasets(columns), TARGETS)
    assert permuted.models == tuple(zoo.models[row] for row in rows)
    np.testing.assert_allclose(permuted.mean, first.mean[rows], atol=1e-5)
    np.testing.assert_allclose(permuted.sd, first.sd[rows], atol=1e-5)


def test_other_names_of_models_and_datasets_change_nothing(zoo, trained) -> None:
    renamed = replace(
        zoo, models=tuple(f"x{n}" for n in zoo.models[::-1]), datasets=tuple(f"y{n}" for n in zoo.datasets)
    )
    first, second = trained.predict(zoo, TARGETS), trained.predict(renamed, [f"y{name}" for name in TARGETS])
    assert np.array_equal(first.mean, second.mean)


def test_a_new_dataset_and_a_new_model_are_predicted_without_training(planted, trained) -> None:
    larger = planted(n_models=30, n_datasets=16, seed=5)
    larger = larger.with_scores(np.where(np.arange(30)[:, None] == 29, np.nan, larger.scores))
    kinds = {"new letters": ("letters",), "new pictures": ("pictures",)}
    for name, label in kinds.items():
        alike = np.array([1.0 if one == label else 0.0 for one in larger.dataset_labels["task"]])
        larger = larger.with_dataset(name, labels={"task": label}, similarity={"labels": alike})
    prediction = trained.predict(larger, list(kinds))
    assert np.isfinite(prediction.mean).all()
    gifted = np.arange(29) % 2 == 1
    difference = prediction.mean[:29, 0] - prediction.mean[:29, 1]
    assert difference[gifted].mean() > difference[~gifted].mean()


def test_the_same_seed_gives_the_same_predictor_and_leaves_torchs_random_numbers_alone(zoo, quick, trained) -> None:
    before = torch.get_rng_state()
    again = train(zoo, settings=quick)
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(again.predict(zoo, TARGETS).mean, trained.predict(zoo, TARGETS).mean)
    other = train(zoo, seed=1, settings=replace(quick, steps=2))
    assert not np.array_equal(
        other.members[0].state["model_hidden.weight"], again.members[0].state["model_hidden.weight"]
    )


@pytest.mark.parametrize(
    ("n_models", "n_datasets", "hidden"),
    [(0, 0, 0.0), (6, 0, 0.0), (0, 8, 0.0), (1, 1, 0.0), (6, 1, 0.0), (1, 8, 0.0), (5, 4, 0.0), (8, 8, 1.0)],
)
def test_a_tiny_or_empty_zoo_has_its_base_as_prediction(planted, quick, n_models, n_datasets, hidden) -> None:
    graph = planted(max(n_models, 4), max(n_datasets, 2), hidden=hidden)
    graph = graph.take_models(np.arange(n_models)).take_datasets(np.arange(n_datasets))
    predictor = train(graph, settings=quick)
    assert predictor.members == ()
    found = predictor.predict(graph, graph.datasets)
    assert np.isfinite(found.mean).all()
    assert found.mean.shape == (n_models, n_datasets)
    np.testing.assert_allclose(out_of_fold(graph, settings=quick), found.mean)
    if hidden == 1.0 or n_datasets == 1:
        assert not found.mean.any() or predictor.base.kind == "mixed"


def test_a_correction_that_only_noise_suggests_is_hardly_made(quick) -> None:
    generator = np.random.default_rng(0)
    scores = generator.normal(size=(30, 12))
    graph = ZooGraph(tuple(f"m{m}" for m in range(30)), tuple(f"d{d}" for d in range(12)), scores)
    predicted = train(graph, settings=replace(quick, steps=10)).predict(graph, graph.datasets)
    assert np.mean(correlations(predicted.mean, past(graph))) > 0.95


def looked(c: list[float], checkpoints: list[list[float]]) -> tuple[Results, HeldOut]:
    """Two models on a dataset for each of `c`: of what the base leaves (c, -c) a checkpoint says (t, -t) for its t."""
    n = len(c)
    side = np.tile([1.0, -1.0], n)
    results = read_results(np.tile([[1.0], [-1.0]], (1, n)))
    order = np.lexsort((results.model, results.dataset))
    found = HeldOut(
        rows=order,
        left=np.repeat(c, 2) * side,
        base=np.zeros(2 * n),
        correction=np.array([np.repeat(t, 2) * side for t in checkpoints]),
        log_variance=np.zeros((len(checkpoints), 2 * n)),
    )
    return results, found


def test_a_correction_is_believed_as_far_as_its_worth_exceeds_its_standard_error() -> None:
    results, held = looked([1.0, 0.0, 1.0, 0.0], [[1.0] * 4])
    # It is worth half of itself on average: by the datasets 1, 0, 1, 0, whose sum's standard error is 2 / sqrt(3).
    gain, multiplier = _gain(results, held, held.correction[0])
    assert multiplier == pytest.approx((2 - 2 / np.sqrt(3)) / 4)
    assert gain == pytest.approx(2 * multiplier * 2 - multiplier**2 * 4)
    assert _gain(results, looked([1.0] * 4, [[1.0] * 4])[1], held.correction[0]) == pytest.approx((4.0, 1.0))
    assert _gain(results, looked([1.0, -1.0] * 2, [[1.0] * 4])[1], held.correction[0]) == (0.0, 0.0)


def test_training_ends_at_the_checkpoint_that_held_out_datasets_bear_out_best(zoo, quick, trained) -> None:
    results, held = looked([1.0, 0.9, 1.0, 0.9], [[0.2] * 4, [0.9] * 4, [-0.5] * 4, [0.0] * 4])
    states = [{"step": torch.tensor(float(step))} for step in range(4)]
    predictor = settle(
        frame_of(zoo, schema_of(zoo)), results, [Trained(trained.base, states)], [held], trained.base, quick
    )
    assert [member.state for member in predictor.members] == [states[1]]
    assert predictor.multiplier > 0.9


def test_intervals_hold_their_level_on_datasets_that_were_not_there(planted, quick) -> None:
    whole = planted(n_models=40, n_datasets=40, seed=3)
    predictor = train(whole.without(*whole.datasets[20:]), settings=replace(quick, steps=10))
    prediction = predictor.predict(whole, whole.datasets[20:])
    z = whole.scores[:, 20:] - whole.scores[:, 20:].mean(axis=0)
    z = z / z.std(axis=0)
    shift = prediction.mean.mean(axis=0)
    inside = (z >= prediction.low - shift) & (z <= prediction.high - shift)
    assert 0.8 < inside.mean() < 1.0


def test_a_prediction_in_units_meets_the_scores_that_are_there(zoo, trained) -> None:
    target = zoo.datasets.index("d3")
    scores = 50 + 10 * zoo.scores
    found = trained.predict(zoo.with_scores(scores), ["d3"]).in_units(zoo.with_scores(scores))
    assert found.mean.mean() == pytest.approx(scores[:, target].mean())
    bare = zoo.without("d3")
    assert np.isnan(trained.predict(bare, ["d3"]).in_units(bare).mean).all()


def test_an_unknown_target_is_named(zoo, trained) -> None:
    with pytest.raises(UnknownNameError, match="d99"):
        trained.predict(zoo, ["d99"])
