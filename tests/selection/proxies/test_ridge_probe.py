import numpy as np
import pytest
from sklearn.linear_model import Ridge

from selection.proxies.moments import Moments
from selection.proxies.ridge_probe import FOLDS, PENALTIES, ridge_probe
from selection.proxies.sampling import stratified_folds


def literal(features, labels, seed=0):
    """scikit-learn's ridge on each fold's training rows, for each penalty."""
    features = np.asarray(features, np.float64)
    folds = stratified_folds(labels, FOLDS, seed)
    accuracies = []
    for penalty in PENALTIES:
        hits = 0
        for fold in range(folds.max() + 1):
            train, held = folds != fold, folds == fold
            centered = features[train] - features[train].mean(axis=0)
            mean_eigenvalue = np.square(centered).sum() / features.shape[1]
            model = Ridge(alpha=penalty * mean_eigenvalue, solver="svd")
            model.fit(features[train], np.eye(labels.max() + 1)[labels[train]])
            hits += (model.predict(features[held]).argmax(axis=1) == labels[held]).sum()
        accuracies.append(hits / len(labels))
    return max(accuracies)


def test_equals_fitting_each_fold_and_penalty_anew(sample):
    value = ridge_probe(Moments(sample.features, sample.labels, seed=3))
    assert value == pytest.approx(literal(sample.features, sample.labels, seed=3), abs=1e-12)


def test_separable_classes_score_one_and_noise_scores_about_chance():
    generator = np.random.default_rng(0)
    labels = np.arange(400) % 4
    noise = generator.standard_normal((400, 10))
    assert ridge_probe(Moments(noise + 8 * np.eye(4, 10)[labels], labels)) == 1.0
    assert ridge_probe(Moments(noise, labels)) == pytest.approx(0.25, abs=0.1)


def test_rotating_moving_and_renaming_change_nothing():
    generator = np.random.default_rng(1)
    labels = np.arange(200) % 3
    features = generator.standard_normal((200, 12)) + 0.5 * generator.standard_normal((3, 12))[labels]
    rotation = np.linalg.qr(generator.standard_normal((12, 12)))[0]
    other = Moments(10 * (features @ rotation) + 100.0, 4 + 10 * labels)
    assert ridge_probe(other) == ridge_probe(Moments(features, labels))


def test_identical_rows_score_the_largest_class():
    assert ridge_probe(Moments(np.full((20, 3), 0.1), [0] * 15 + [1] * 5)) == 0.75


def test_two_rows_are_enough_to_be_wrong_about_both():
    assert ridge_probe(Moments([[0.0], [1.0]], [0, 1])) == 0.0


@pytest.mark.parametrize("n_dims", [5, 100])
@pytest.mark.parametrize("low", [0.1, 1e-160])
def test_training_rows_that_differ_by_rounding_only_teach_the_prior(n_dims, low):
    generator = np.random.default_rng(0)
    features = np.concatenate([np.full((59, n_dims), low), np.full((1, n_dims), 3 * low)])
    labels = np.array([0] * 45 + [1] * 15)
    assert ridge_probe(Moments(features, labels)) == 0.75
    features[:59] += low * 1e-9 * generator.standard_normal((59, n_dims))
    features[59] = 1e9
    assert ridge_probe(Moments(features, labels)) <= 0.75
