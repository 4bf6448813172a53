"""Which datasets are called alike for what is known of them: by hand on a few."""

import numpy as np
import pytest

from zoo_graph.descriptions import embeddings, similarities
from zoo_graph.records import Dataset


def test_names_that_share_a_word_are_alike() -> None:
    found = similarities([Dataset("glue:sst2"), Dataset("glue:cola"), Dataset("cifar100")])["name"]
    assert found[0, 1] > 0.1
    assert found[0, 2] == 0
    np.testing.assert_allclose(np.diag(found), 1)


def test_kin_written_together_is_found_by_trigrams() -> None:
    found = similarities([Dataset("tweethate"), Dataset("tweetirony"), Dataset("svhn")])
    assert found["name"][0, 1] == 0
    assert found["trigrams"][0, 1] > found["trigrams"][0, 2] == 0


def test_a_revision_is_no_word_of_the_name() -> None:
    found = similarities([Dataset("beans@f00"), Dataset("food@f00"), Dataset("beans")])["name"]
    assert found[0, 1] == 0
    assert found[0, 2] == pytest.approx(1)


def test_tasks_are_compared_by_their_words() -> None:
    found = similarities([Dataset("a", task="text-classification"), Dataset("b", task="classification"), Dataset("c")])
    assert found["task"][0, 1] > 0
    assert np.isnan(found["task"][0, 2])


def test_tags_of_a_kind_are_compared_with_their_kind_only() -> None:
    datasets = [
        Dataset("a", tags=("language:fra", "law")),
        Dataset("b", tags=("language:FRA", "domain:law")),
        Dataset("c", tags=("language:deu", "law")),
    ]
    found = similarities(datasets)
    assert found["tags language"][0].tolist() == [pytest.approx(1), pytest.approx(1), 0]
    assert found["tags tag"][0, 2] == pytest.approx(1)
    assert np.isnan(found["tags tag"][0, 1])
    assert "tags domain" not in found


def test_counts_are_compared_in_logarithms() -> None:
    found = similarities([Dataset(f"d{n}", n_classes=n) for n in (2, 20, 200)] + [Dataset("unknown")])["n_classes"]
    assert found[0, 1] == pytest.approx(found[1, 2]) == pytest.approx(np.exp(-1))
    assert found[0, 2] == pytest.approx(np.exp(-4))
    assert np.isnan(found[0, 3])


def embedded(name: str, by: str, *numbers: float) -> Dataset:
    return Dataset(name, embedding=numbers, embedding_by=by)


def test_embeddings_are_compared_with_those_of_their_encoder_only() -> None:
    datasets = [
        embedded("a", "clip", 1, 0),
        embedded("b", "bert", 1, 0),
        embedded("c", "clip", 0.9, 0.1),
        embedded("d", "clip", -1, -1),
        embedded("e", "bert", 1, 1),
        Dataset("f"),
    ]
    found = similarities(datasets)
    assert found["embedding clip"][0, 2] > 0.9 > 0 > found["embedding clip"][0, 3]
    assert np.isnan(found["embedding clip"][0, [1, 4, 5]]).all()
    assert found["embedding bert"][1, 4] == pytest.approx(-1)  # about the mean of the two


def test_an_embedding_of_another_width_than_most_is_none() -> None:
    datasets = [embedded("a", "clip", 1, 2), embedded("b", "clip", 1, 2, 3), embedded("c", "clip", 3, 4)]
    np.testing.assert_array_equal(embeddings(datasets)["clip"], [[1, 2], [np.nan, np.nan], [3, 4]])


def test_what_nothing_is_known_of_is_no_basis() -> None:
    assert set(similarities([Dataset("a", task="x", n_samples=0), Dataset("b")])) == {"name", "trigrams"}
    assert similarities([Dataset("a", task="x")]) == {}
