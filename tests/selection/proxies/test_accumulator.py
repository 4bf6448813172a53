"""Sums over batches against the same scores of the rows, on the CPU; a GPU runs the same code."""

import math

import numpy as np
import pytest
import torch

from selection.errors import InputError
from selection.proxies import PROXIES, score_all, score_moments
from selection.proxies.accumulator import CLASSES_AT_ONCE, Accumulator

FROM_SUMS = {"logme", "hscore", "regularized_hscore", "transrate"}


def accumulated(features, labels, *, batch=17, **options):
    sums = Accumulator(int(labels.max()) + 1, **options)
    for start in range(0, len(labels), batch):
        sums.add(torch.from_numpy(features[start : start + batch]), labels[start : start + batch])
    return sums


def scores_of(sums, names=None):
    return {score.name: score for score in score_moments(sums.moments(), names=names)}


def test_scores_of_sums_equal_those_of_the_rows(sample):
    ours = scores_of(accumulated(sample.features, sample.labels, class_grams=True))
    rows = {score.name: score.score for score in score_all(sample.features, sample.labels)}
    for name in PROXIES:
        if name in FROM_SUMS:
            assert ours[name].score == pytest.approx(rows[name], rel=1e-6, abs=1e-6), name
        elif name != "leep":
            assert "wanted the rows themselves" in ours[name].reason


def test_the_order_and_size_of_batches_and_a_mean_far_from_zero_do_not_matter(sample):
    features = np.asarray(sample.features, np.float64) + 1e3
    rows = np.random.default_rng(0).permutation(len(features))
    one = scores_of(accumulated(features, sample.labels, class_grams=True))
    other = scores_of(accumulated(features[rows], sample.labels[rows], batch=5, class_grams=True))
    for name in FROM_SUMS:
        assert other[name].score == pytest.approx(one[name].score, rel=1e-5, abs=1e-5), name


def test_half_precision_batches_are_summed_in_double():
    generator = np.random.default_rng(1)
    labels = np.arange(300) % 3
    features = (generator.standard_normal((300, 8)) + generator.standard_normal((3, 8))[labels]).astype(np.float16)
    (expected,) = score_all(features, labels, names=["hscore"])
    assert scores_of(accumulated(features, labels))["hscore"].score == pytest.approx(expected.score, rel=1e-9)


def test_single_precision_keeps_three_digits():
    generator = np.random.default_rng(2)
    labels = np.arange(600) % 3
    features = (generator.standard_normal((600, 20)) + generator.standard_normal((3, 20))[labels] + 50).astype("f4")
    single = scores_of(accumulated(features, labels, dtype=torch.float32))
    for expected in score_all(features, labels, names=["logme", "hscore", "regularized_hscore"]):
        assert single[expected.name].score == pytest.approx(expected.score, rel=1e-3)


def test_more_classes_than_are_factored_at_once_and_classes_without_rows():
    generator = np.random.default_rng(3)
    labels = 2 * (np.arange(200) % (CLASSES_AT_ONCE + 5))
    features = generator.standard_normal((200, 6))
    sums = accumulated(features, labels, class_grams=True)
    (expected,) = score_all(features, labels, names=["transrate"])
    assert scores_of(sums)["transrate"].score == pytest.approx(expected.score, rel=1e-9)


@pytest.mark.parametrize("scale", [1e-20, 1e9, 1e30])
def test_transrate_of_a_huge_or_tiny_scale(scale):
    features, labels = scale * np.random.default_rng(4).standard_normal((40, 12)), np.arange(40) % 5
    (expected,) = score_all(features, labels, names=["transrate"])
    sums = accumulated(features, labels, class_grams=True)
    assert scores_of(sums)["transrate"].score == pytest.approx(expected.score, rel=1e-5, abs=1e-12)


def test_without_class_grams_only_transrate_is_missing():
    features, labels = np.random.default_rng(5).standard_normal((40, 4)), np.arange(40) % 2
    scores = scores_of(accumulated(features, labels))
    assert {name for name, score in scores.items() if math.isfinite(score.score)} == FROM_SUMS - {"transrate"}
    assert "class_grams=True" in scores["transrate"].reason


def test_adding_goes_on_after_a_look():
    features, labels = np.random.default_rng(6).standard_normal((40, 4)), np.arange(40) % 2
    sums = accumulated(features[:20], labels[:20])
    first = scores_of(sums, ["hscore"])["hscore"].score
    sums.add(torch.from_numpy(features[20:]), labels[20:])
    assert scores_of(sums, ["hscore"])["hscore"].score == pytest.approx(
        score_all(features, labels, names=["hscore"])[0].score, rel=1e-9
    )
    assert first == pytest.approx(score_all(features[:20], labels[:20], names=["hscore"])[0].score, rel=1e-9)


def test_features_that_are_not_finite_are_refused_at_the_end():
    sums = Accumulator(2)
    sums.add(torch.tensor([[1.0], [math.nan]]), [0, 1])
    with pytest.raises(InputError, match="NaN"):
        sums.moments()


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (torch.zeros(2), [0, 1], "rows, dims"),
        (torch.zeros(2, 5), [0, 1], "got 5 dims, wanted 3"),
        (torch.zeros(2, 3), [0], "one per row"),
        (torch.zeros(2, 3), [0.0, 1.0], "one per row"),
        (torch.zeros(2, 3), [0, 2], "got 0 to 2, wanted 0 to 1"),
        (torch.zeros(2, 3), [-1, 0], "label is missing"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused_with_advice(features, labels, message):
    sums = Accumulator(2)
    sums.add(torch.zeros(0, 3), np.zeros(0, np.int64))
    sums.add(torch.zeros(2, 3), [0, 0])
    with pytest.raises(InputError, match=message):
        sums.add(features, labels)


def test_nothing_added_or_one_class_only_is_refused():
    with pytest.raises(InputError, match="0 classes"):
        Accumulator(2).moments()
    sums = Accumulator(2)
    sums.add(torch.ones(3, 2), [1, 1, 1])
    with pytest.raises(InputError, match="1 classes"):
        sums.moments()
    with pytest.raises(InputError, match="n_classes"):
        Accumulator(1)
    with pytest.raises(InputError, match="wanted float64"):
        Accumulator(2, class_grams=True, dtype=torch.float32)
