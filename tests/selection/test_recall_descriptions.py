import numpy as np
import pytest

from selection.errors import InputError
from selection.recall.descriptions import distance_similarity, label_similarity, trigrams, vector_similarity, words

NAN = np.nan


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("FrenchSTS2", ("french", "sts", "2")),
        ("amazon_reviews-EN", ("amazon", "reviews", "en")),
        ("Straße über", ("strasse", "über")),
        ("__ -- ", ()),
        ("", ()),
    ],
)
def test_words_are_split_where_case_digits_and_signs_change(text: str, found: tuple[str, ...]) -> None:
    assert words(text) == found


def test_trigrams_hold_the_edges_of_words() -> None:
    assert trigrams("Ab_c") == (" ab", "ab ", "b c", " c ")
    assert trigrams("a") == (" a ",)
    assert trigrams("") == trigrams("?!") == ()


def test_trigrams_find_kin_that_are_written_together() -> None:
    alike = label_similarity([trigrams("tweetsentiment"), trigrams("Sentiment"), trigrams("ImageNet")])
    assert alike[0, 1] > 0.3
    assert alike[0, 2] < 0.1


def test_a_label_weighs_by_how_few_datasets_have_it() -> None:
    alike = label_similarity([("rare", "shared"), ("shared",), ("other",)])
    rare, shared = np.log(4 / 1), np.log(4 / 2)
    np.testing.assert_allclose(np.diag(alike), 1)
    assert alike[0, 1] == alike[1, 0] == pytest.approx(shared / np.hypot(rare, shared))
    assert alike[0, 2] == 0


def test_a_label_given_twice_counts_once_and_order_does_not_matter() -> None:
    once = label_similarity([("a", "b"), ("b", "c"), ("a",)])
    np.testing.assert_allclose(label_similarity([("b", "a", "a"), ("c", "b"), ("a", "a")]), once)


def test_a_dataset_without_labels_is_like_none_not_even_itself() -> None:
    alike = label_similarity([("a",), (), ("a",)])
    assert np.isnan(alike[1]).all()
    assert np.isnan(alike[:, 1]).all()
    assert alike[0, 2] == pytest.approx(1)
    assert np.isnan(label_similarity([(), ()])).all()


def test_vectors_are_compared_about_their_mean() -> None:
    # About (0, 0): at right angles, and three eighths of a turn to both.
    alike = vector_similarity([(11.0, 10.0), (10.0, 11.0), None, (9.0, 9.0)])
    np.testing.assert_allclose(alike[0, [0, 1, 3]], [1, 0, -np.sqrt(0.5)], atol=1e-12)
    assert np.isnan(alike[2]).all()
    assert np.isnan(alike[:, 2]).all()


def test_fewer_than_two_vectors_are_like_nothing_and_equal_ones_tell_nothing() -> None:
    assert np.isnan(vector_similarity([None, (1.0, 2.0)])).all()
    np.testing.assert_array_equal(vector_similarity([(1.0, 2.0)] * 3), np.zeros((3, 3)))


def test_distances_fall_off_from_one_over_the_median_distance() -> None:
    alike = distance_similarity(np.array([[0.0, 2.0, 4.0], [2.0, 0.0, NAN], [4.0, NAN, 0.0]]))
    np.testing.assert_allclose(alike[0], [1, np.exp(-4 / 9), np.exp(-16 / 9)])
    assert np.isnan(alike[1, 2])


def test_distances_in_another_unit_are_as_alike() -> None:
    distances = np.random.default_rng(0).uniform(1, 2, size=(5, 5)) * ~np.eye(5, dtype=bool)
    np.testing.assert_allclose(distance_similarity(1000 * distances), distance_similarity(distances))


def test_where_no_distance_is_known_or_all_are_zero_there_is_no_unit_to_fail_on() -> None:
    np.testing.assert_array_equal(distance_similarity(np.zeros((3, 3))), np.ones((3, 3)))
    assert np.isnan(distance_similarity(np.full((2, 2), NAN))).all()


@pytest.mark.parametrize(
    ("distances", "message"),
    [
        (np.zeros((2, 3)), r"shape \(2, 3\); wanted \(N, N\)"),
        (np.zeros(4), r"shape \(4,\)"),
        (np.array([[0.0, -1.0], [1.0, 0.0]]), "negative or infinite"),
        (np.array([[0.0, np.inf], [1.0, 0.0]]), "negative or infinite"),
    ],
)
def test_what_is_no_distance_is_refused(distances: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        distance_similarity(distances)
