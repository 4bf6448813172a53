import math

import numpy as np
import pytest

from selection.errors import InputError
from selection.proxies import PROXIES, score_all
from selection.records import ProxyScore

FEATURES = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)
LABELS = np.arange(40) % 3
LOGITS = np.random.default_rng(1).standard_normal((40, 5)).astype(np.float32)


def test_every_score_comes_back_in_order_with_its_seconds_and_sample():
    scores = score_all(FEATURES, LABELS, source_logits=LOGITS, sample_digest="abc")
    assert [score.name for score in scores] == list(PROXIES)
    assert all(math.isfinite(score.score) and score.reason is None and score.seconds > 0 for score in scores)
    assert {(score.n_samples, score.sample_digest) for score in scores} == {(40, "abc")}


def test_the_scores_asked_for_come_in_the_order_asked():
    assert [score.name for score in score_all(FEATURES, LABELS, names=["knn", "logme"])] == ["knn", "logme"]


def test_same_seed_same_scores_and_shared_statistics_change_none_of_them():
    together = {score.name: score.score for score in score_all(FEATURES, LABELS, source_logits=LOGITS, seed=4)}
    for name, value in together.items():
        (alone,) = score_all(FEATURES, LABELS, names=[name], source_logits=LOGITS, seed=4)
        assert alone.score == value


def test_an_undefined_score_is_nan_with_its_reason_and_the_others_are_computed():
    scores = {score.name: score for score in score_all(FEATURES, LABELS)}
    assert math.isnan(scores["leep"].score)
    assert "source head" in scores["leep"].reason
    assert all(math.isfinite(score.score) for name, score in scores.items() if name != "leep")


def test_a_score_that_breaks_does_not_stop_the_others(monkeypatch):
    def broken(moments):
        raise np.linalg.LinAlgError("did not converge")

    monkeypatch.setitem(PROXIES, "logme", broken)
    monkeypatch.setitem(PROXIES, "knn", lambda moments: math.inf)
    scores = {score.name: score for score in score_all(FEATURES, LABELS)}
    assert scores["logme"].reason == "LinAlgError: did not converge"
    assert "finite" in scores["knn"].reason
    assert math.isnan(scores["knn"].score)
    assert math.isfinite(scores["hscore"].score)


def test_identical_rows_leave_only_what_is_defined():
    scores = {score.name: score.score for score in score_all(np.full((30, 4), 0.1), np.arange(30) % 3)}
    assert {name for name, value in scores.items() if math.isfinite(value)} == {
        "logme",
        "hscore",
        "regularized_hscore",
        "ridge_probe",
        "transrate",
    }


@pytest.mark.parametrize(
    ("n", "d", "labels"),
    [
        (2, 1, [0, 1]),
        (2, 5, [0, 1]),
        (6, 6, [0, 1, 2, 3, 4, 5]),
        (12, 40, [0] * 11 + [1]),
        (50, 3, [0, 1] * 25),
    ],
    ids=["two rows", "two rows of five dims", "a class per row", "one row in a class", "few dims"],
)
@pytest.mark.parametrize("reduce_to", [None, 32])
def test_extreme_shapes_give_a_number_or_a_reason(n, d, labels, reduce_to):
    features = np.random.default_rng(n).standard_normal((n, d)).astype(np.float32)
    for score in score_all(features, labels, source_logits=features, reduce_to=reduce_to):
        assert math.isfinite(score.score) == (score.reason is None)


def test_parc_looks_at_no_more_than_500_rows_and_says_so():
    features = np.random.default_rng(0).standard_normal((700, 4))
    parc, knn = score_all(features, np.arange(700) % 2, names=["parc", "knn"])
    assert (parc.n_samples, knn.n_samples) == (500, 700)


def test_reducing_changes_the_scores_of_features_but_not_parc_and_leep():
    whole = {s.name: s.score for s in score_all(FEATURES, LABELS, source_logits=LOGITS)}
    reduced = {s.name: s.score for s in score_all(FEATURES, LABELS, source_logits=LOGITS, reduce_to=2)}
    assert whole["logme"] != reduced["logme"]
    assert (whole["parc"], whole["leep"]) == (reduced["parc"], reduced["leep"])


def test_half_precision_and_lists_are_taken():
    half = score_all(FEATURES.astype(np.float16), LABELS.tolist(), names=["logme"])
    assert half[0].score == score_all(FEATURES.astype(np.float16).astype(np.float32), LABELS, names=["logme"])[0].score


def test_huge_values_overflow_nothing_unseen():
    for score in score_all(FEATURES * 1e30, LABELS, source_logits=LOGITS * 1e5):
        assert isinstance(score, ProxyScore)
        assert math.isfinite(score.score) == (score.reason is None)


def test_inputs_are_left_as_they_were():
    features, logits = FEATURES.copy(), LOGITS.copy()
    score_all(features, LABELS, source_logits=logits)
    assert np.array_equal(features, FEATURES)
    assert np.array_equal(logits, LOGITS)


NAN = FEATURES.copy()
NAN[3, 2] = np.nan


@pytest.mark.parametrize(
    ("features", "labels", "options", "message"),
    [
        (NAN, LABELS, {}, "NaN or infinity in 1 of 40 rows .first: row 3"),
        (np.full((4, 2), np.inf), [0, 1, 0, 1], {}, "NaN or infinity"),
        (FEATURES * np.float64(1e60), LABELS, {}, "scale the features"),
        (FEATURES[:, 0], LABELS, {}, "wanted numbers of shape"),
        (3.0, LABELS, {}, "wanted numbers of shape"),
        (FEATURES.astype(str), LABELS, {}, "wanted numbers of shape"),
        (FEATURES[:1], LABELS[:1], {}, "at least 2 rows"),
        (FEATURES[:, :0], LABELS, {}, "1 dimension"),
        (FEATURES, LABELS[:-1], {}, "got 39 for 40 rows"),
        (FEATURES, LABELS * 1.0, {}, "flat array of integers"),
        (FEATURES, LABELS - 1, {}, "labels: got -1"),
        (FEATURES, np.full(40, 6), {}, "one class only .6."),
        (FEATURES, LABELS, {"source_logits": LOGITS[:-1]}, "source_logits"),
        (FEATURES, LABELS, {"source_logits": LOGITS * np.nan}, "source_logits: got NaN"),
        (FEATURES, LABELS, {"reduce_to": 0}, "reduce_to"),
        (FEATURES, LABELS, {"names": ["logmee"]}, "did you mean 'logme'"),
    ],
)
def test_input_that_no_score_can_use_is_refused_with_advice(features, labels, options, message):
    with pytest.raises(InputError, match=message):
        score_all(features, labels, **options)
