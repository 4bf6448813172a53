import numpy as np
import pytest

from zoo_graph.link_prediction import mixed
from zoo_graph.link_prediction.graph import ZooGraph
from zoo_graph.link_prediction.mixed import Variances, design_of, fit_effects, learn_variances
from zoo_graph.link_prediction.results import history, read_results


def families(seed: int = 0, n_models: int = 60, n_datasets: int = 10, family_sd: float = 1.0) -> ZooGraph:
    """Models of six families that differ, and no other difference but noise."""
    generator = np.random.default_rng(seed)
    family = np.arange(n_models) % 6
    ability = family_sd * np.linspace(-1.5, 1.5, 6)[family]
    scores = ability[:, None] + generator.normal(size=(n_models, n_datasets))
    labels = {"family": tuple((f"f{one}",) for one in family)}
    return ZooGraph(
        tuple(f"m{m}" for m in range(n_models)), tuple(f"d{d}" for d in range(n_datasets)), scores, model_labels=labels
    )


def test_effects_are_the_solution_of_the_marginal_model() -> None:
    graph = families()
    design, results = design_of(graph), read_results(graph.scores)
    variances = Variances({"family": 0.7}, own=0.2, noise=0.5)
    x = design.matrix.toarray()
    counts = results.counts()
    covariance = 0.7 * x @ x.T + 0.2 * np.eye(60)
    expected = covariance @ np.linalg.solve(covariance + np.diag(0.5 / counts), results.sums() / counts)
    effects = fit_effects(results, design, variances)
    np.testing.assert_allclose(effects.mean, expected, atol=1e-9)
    posterior = covariance - covariance @ np.linalg.solve(covariance + np.diag(0.5 / counts), covariance)
    np.testing.assert_allclose(effects.variance, np.diag(posterior) + 0.5, atol=1e-9)


def test_the_variance_of_what_tells_models_apart_is_found() -> None:
    apart = families(family_sd=1.0)
    alike = families(family_sd=0.0)
    found = [learn_variances(read_results(graph.scores), design_of(graph)) for graph in (apart, alike)]
    assert found[0].groups["family"] > 5 * found[1].groups["family"]
    assert found[0].own < 0.15


def test_a_model_without_results_is_believed_to_be_like_its_family() -> None:
    graph = families()
    scores = graph.scores.copy()
    scores[:6] = np.nan
    prediction = mixed.train(graph.with_scores(scores)).predict(graph.with_scores(scores), ["d0"])
    rest = np.array([prediction.mean[f + 6 :: 6, 0].mean() for f in range(6)])
    assert np.corrcoef(prediction.mean[:6, 0], rest)[0, 1] > 0.95
    assert (prediction.sd[:6] > prediction.sd[6:12]).all()


def test_with_few_results_it_is_nearer_the_truth_than_history() -> None:
    graph = families(seed=2)
    scores = np.where(np.random.default_rng(0).random(graph.scores.shape) < 0.8, np.nan, graph.scores)
    truth = graph.scores.mean(axis=1)
    predicted = mixed.train(graph.with_scores(scores)).predict(graph.with_scores(scores), ["d0"]).mean[:, 0]
    past = history(read_results(scores).hide(np.array([0])))
    assert np.corrcoef(predicted, truth)[0, 1] > np.corrcoef(past, truth)[0, 1] + 0.1


def test_the_scores_of_a_target_change_nothing_in_its_prediction() -> None:
    graph = families()
    scores = graph.scores.copy()
    scores[:, 3] = scores[::-1, 3] * 5
    trained = mixed.train(graph)
    first, second = (trained.predict(one, ["d3"]) for one in (graph, graph.with_scores(scores)))
    assert np.array_equal(first.mean, second.mean)
    left_out = [mixed.out_of_fold(one)[:, 3] for one in (graph, graph.with_scores(scores))]
    assert np.array_equal(*left_out)


def test_permuted_models_permute_the_prediction() -> None:
    graph = families()
    order = np.random.default_rng(0).permutation(60)
    first, second = (mixed.train(one).predict(one, ["d1"]).mean for one in (graph, graph.take_models(order)))
    np.testing.assert_allclose(second, first[order], atol=1e-9)


@pytest.mark.parametrize("shape", [(1, 1), (4, 1), (1, 4), (3, 0)])
def test_a_tiny_zoo_has_an_answer(shape: tuple[int, int]) -> None:
    graph = families().take_models(np.arange(shape[0])).take_datasets(np.arange(shape[1]))
    found = mixed.train(graph).predict(graph, graph.datasets)
    assert found.mean.shape == shape
    assert np.isfinite(found.mean).all()
    assert not mixed.train(graph.without(*graph.datasets)).predict(graph, ()).mean.size
