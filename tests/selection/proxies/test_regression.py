"""Numbers to predict in place of classes: which scores are defined, and what they are."""

import math

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from selection.errors import InputError
from selection.proxies import PROXIES, score_all
from selection.proxies.knn import knn
from selection.proxies.logme import logme
from selection.proxies.moments import Moments
from selection.proxies.ridge_probe import FOLDS, PENALTIES, ridge_probe
from selection.proxies.sampling import stratified_folds

DEFINED = {"logme", "knn", "ridge_probe"}


def drawn(n, d, noise=0.5):
    generator = np.random.default_rng(n + d)
    features = generator.standard_normal((n, d)) * np.arange(1, d + 1) ** -0.5 + 0.3
    return features, 3.0 * features[:, 0] - features[:, 1] + noise * generator.standard_normal(n) + 5.0


def regression(features, targets, **options):
    return Moments(features, targets, task="regression", **options)


@pytest.mark.parametrize(("n", "d"), [(80, 6), (30, 50), (20, 20)])
def test_logme_equals_the_evidence_of_the_one_column(n, d):
    """log N(y | 0, I / beta + FF' / alpha) per row, alpha and beta by the paper's fixed point written out."""
    features, y = drawn(n, d)
    values, vectors = np.linalg.eigh(features @ features.T)
    squared, t = (vectors.T @ y) ** 2, 1.0
    values = np.where(values > 1e-9, values, 0.0)
    for _ in range(11):
        gamma = (values / (values + t)).sum()
        alpha = gamma / (values * squared / (values + t) ** 2).sum()
        beta = (n - gamma) / (t**2 * squared / (values + t) ** 2).sum()
        before, t = t, alpha / beta
        if abs(t - before) <= 1e-3 * before:
            break
    beta_at = (n - gamma) / (before**2 * squared / (values + before) ** 2).sum()
    variances = 1.0 / beta_at + values / (t * beta_at)
    expected = -0.5 * (np.log(2 * np.pi * variances) + squared / variances).sum() / n
    assert logme(regression(features, y)) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize(("n", "d"), [(120, 6), (40, 90)])
def test_the_ridge_probe_equals_r_squared_of_fitting_each_fold_anew(n, d):
    features, y = drawn(n, d)
    folds = stratified_folds(np.zeros(n, np.int64), FOLDS, 3)
    best = -math.inf
    for penalty in PENALTIES:
        predicted = np.empty(n)
        for fold in range(FOLDS):
            train, held = folds != fold, folds == fold
            scale = np.square(features[train] - features[train].mean(axis=0)).sum() / d
            model = Ridge(alpha=penalty * scale, solver="svd").fit(features[train], y[train])
            predicted[held] = model.predict(features[held])
        best = max(best, 1 - np.square(y - predicted).sum() / np.square(y - y.mean()).sum())
    assert ridge_probe(regression(features, y, seed=3)) == pytest.approx(best, abs=1e-9)


def test_knn_equals_r_squared_of_the_neighbours_mean():
    features, y = drawn(60, 8)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    predicted = []
    for i in range(60):
        others = np.delete(np.arange(60), i)
        predicted.append(y[others[np.argsort(unit[others] @ unit[i])[-5:]]].mean())
    expected = 1 - np.square(y - predicted).sum() / np.square(y - y.mean()).sum()
    assert knn(regression(features, y)) == pytest.approx(expected, abs=1e-9)


def test_the_scores_defined_there_are_numbers_and_the_others_nan_with_the_reason():
    features, y = drawn(60, 8)
    logits = np.random.default_rng(0).standard_normal((60, 4))
    scores = {score.name: score for score in score_all(features, y, task="regression", source_logits=logits)}
    assert set(scores) == set(PROXIES)
    for name, score in scores.items():
        assert math.isfinite(score.score) == (name in DEFINED)
        assert name in DEFINED or "not defined for regression" in score.reason


def test_targets_that_the_features_hold_score_higher_than_noise_and_scale_and_shift_leave_r_squared():
    features, y = drawn(200, 6, noise=0.1)
    shuffled = np.random.default_rng(0).permutation(y)
    for name in sorted(DEFINED):
        (told,) = score_all(features, y, task="regression", names=[name])
        (untold,) = score_all(features, shuffled, task="regression", names=[name])
        assert told.score > untold.score + 0.2
        if name != "logme":
            (moved,) = score_all(features, 1e6 * y - 4e7, task="regression", names=[name])
            assert moved.score == pytest.approx(told.score, abs=1e-6)


def test_whole_numbers_may_be_targets_and_shared_statistics_change_nothing():
    features, y = drawn(50, 5)
    years = np.rint(y).astype(np.int32)
    together = {score.name: score.score for score in score_all(features, years, task="regression")}
    for name in DEFINED:
        assert score_all(features, years, task="regression", names=[name])[0].score == together[name]


@pytest.mark.parametrize("n_dims", [3, 40])
def test_identical_rows_predict_no_better_than_the_mean(n_dims):
    scores = {s.name: s.score for s in score_all(np.full((30, n_dims), 0.1), np.arange(30.0), task="regression")}
    assert scores["ridge_probe"] <= 0.0
    assert math.isnan(scores["knn"])


@pytest.mark.parametrize(
    ("targets", "options", "message"),
    [
        (np.where(np.arange(20) == 7, np.nan, 1.0), {"task": "regression"}, "NaN or infinity in 1 of 20 .*row 7"),
        (np.full(20, -np.inf), {"task": "regression"}, "NaN or infinity in 20"),
        (np.full(20, 3.5), {"task": "regression"}, "got 3.5 in every row"),
        (np.arange(19.0), {"task": "regression"}, "got 19 for 20 rows"),
        (np.arange(20.0)[:, None], {"task": "regression"}, "flat array of numbers"),
        (np.arange(20) * 1e300, {"task": "regression"}, "scale the targets"),
        (np.array(["a", "b"] * 10), {"task": "regression"}, "flat array of numbers"),
        (np.arange(20.0), {}, "task='regression'"),
        (np.arange(20), {"task": "ranking"}, "task: got 'ranking'"),
    ],
)
def test_targets_that_no_score_could_use_are_refused_with_advice(targets, options, message):
    with pytest.raises(InputError, match=message):
        score_all(np.random.default_rng(0).standard_normal((20, 3)), targets, **options)
