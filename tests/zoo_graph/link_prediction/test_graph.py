from pathlib import Path

import numpy as np
import pytest

from zoo_graph.errors import InputError, UnknownNameError
from zoo_graph.link_prediction.graph import ZooGraph
from zoo_graph.link_prediction.snapshot_graph import graph_of
from zoo_graph.link_prediction.tokens import hashed, label_similarity, name_tokens
from zoo_graph.scores import score_matrix
from zoo_graph.snapshot import take


def test_without_a_dataset_nothing_of_its_results_is_left(planted) -> None:
    graph = planted()
    left = graph.without("d1", "d2")
    assert np.isnan(left.scores[:, 1:3]).all()
    assert np.array_equal(left.scores[:, 3:], graph.scores[:, 3:])
    assert left.datasets == graph.datasets
    assert np.isfinite(graph.scores).all()


def test_a_dataset_is_added_with_what_is_known_of_it(planted) -> None:
    graph = planted(n_models=5, n_datasets=4)
    grown = graph.with_dataset(
        "new",
        numbers={"log_samples": 3.0, "embedding": np.arange(2.0)},
        labels={"task": ("letters",), "language": ("en",)},
        similarity={"labels": np.array([1.0, 0, 1, 0])},
        proxies={"LogME": np.arange(5.0)},
    )
    assert grown.datasets[-1] == "new"
    assert np.isnan(grown.scores[:, -1]).all()
    assert grown.dataset_numbers["log_samples"][-1] == 3.0
    assert np.isnan(grown.dataset_numbers["embedding"][:4]).all()
    assert grown.dataset_numbers["embedding"][4].tolist() == [0.0, 1.0]
    assert grown.dataset_labels["task"][-1] == ("letters",)
    assert grown.dataset_labels["language"] == ((), (), (), (), ("en",))
    assert grown.similarity["labels"][-1].tolist() == [1, 0, 1, 0, 1]
    assert grown.similarity["labels"][:, -1].tolist() == [1, 0, 1, 0, 1]
    assert grown.proxies["LogME"][:, -1].tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(InputError, match=r"similarity\['labels'\] of shape \(2,\); wanted \(5,\)"):
        grown.with_dataset("newer", similarity={"labels": np.zeros(2)})
    with pytest.raises(InputError, match="'new' twice"):
        grown.with_dataset("new")


def test_taking_models_takes_what_is_known_of_them(planted) -> None:
    taken = planted().take_models(np.array([2, 0]))
    assert taken.models == ("m2", "m0")
    assert taken.model_labels["family"] == (("f2",), ("f0",))
    assert taken.derived_from.tolist() == [[0, 1]]
    assert taken.pretrained_on.tolist() == [[1, 0]]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"scores": np.zeros((2, 2))}, r"scores of shape \(2, 2\); wanted \(3, 2\)"),
        ({"scores": np.full((3, 2), np.inf)}, "infinite"),
        ({"pretrained_on": np.array([[0, 2]])}, "in range"),
        ({"derived_from": np.array([0, 1])}, r"wanted \(E, 2\)"),
        ({"model_labels": {"family": (("a",),)}}, "for 1 nodes; wanted 3"),
        ({"proxies": {"LogME": np.zeros((2, 3))}}, "LogME"),
        ({"models": ("a", "a", "b")}, "'a' twice"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict, told: str) -> None:
    given = {"models": ("a", "b", "c"), "datasets": ("x", "y"), "scores": np.zeros((3, 2))} | changes
    with pytest.raises(InputError, match=told):
        ZooGraph(**given)


def test_an_unknown_dataset_is_told_with_close_names(planted) -> None:
    with pytest.raises(UnknownNameError, match="did you mean d1"):
        planted().without("d1x")


def test_names_are_cut_into_words() -> None:
    assert name_tokens("org/DistilBERT-base_v2.1") == ("2.1", "base", "bert", "distil", "org", "v")
    assert name_tokens("ViT-B-16-384px") == ("16", "384px", "b", "t", "vi")


def test_the_same_label_has_the_same_features_in_every_graph() -> None:
    one = hashed({"family": (("bert",), ("vit",), ())}, 3, 32)
    other = hashed({"family": (("vit",), ("bert",))}, 2, 32)
    assert np.array_equal(one[:2], other[::-1])
    assert not one[2].any()
    assert np.linalg.norm(one[0]) == pytest.approx(1.0)


def test_datasets_that_share_rare_labels_are_more_alike() -> None:
    labels = {"task": (("a", "rare"), ("a", "rare"), ("a",), ("b", "a"), ("b", "a"), ())}
    alike = label_similarity(labels, 6)
    assert alike[0, 1] > alike[0, 2] > 0
    assert np.isnan(alike[5]).all()


def test_the_graph_of_a_snapshot_holds_every_model_and_dataset(store, fill, tmp_path: Path) -> None:
    fill(store, {"a": {"x": 0.9, "y": 0.8}, "b": {"x": 0.6}, "org/c-small": {"y": 0.1}})
    store.write(
        lambda transaction: [
            transaction.run("MATCH (m:Model {id: 'a'}) SET m.n_parameters = 1000, m.family = 'bert'"),
            transaction.run("CREATE (:Dataset {id: 'unmeasured', name: 'unmeasured', task: 'topic', n_classes: 10})"),
            transaction.run(
                "MATCH (a:Model {id: 'a'}) MATCH (b:Model {id: 'b'}) MATCH (x:Dataset {id: 'x'}) "
                "CREATE (b)-[:DERIVED_FROM {kind: 'finetune'}]->(a) CREATE (a)-[:PRETRAINED_ON]->(x) "
                "CREATE (b)-[:PROXY {name: 'LogME', score: 0.25, seconds: 1.5, sample_digest: 's', n_samples: 9}]->(x)"
            ),
        ]
    )
    snapshot = take(store, tmp_path)
    graph = graph_of(snapshot, score_matrix(snapshot))
    assert graph.models == ("a", "b", "org/c-small")
    assert graph.datasets == ("unmeasured", "x", "y")
    np.testing.assert_array_equal(graph.scores, [[np.nan, 0.9, 0.8], [np.nan, 0.6, np.nan], [np.nan, np.nan, 0.1]])
    assert graph.model_numbers["log_parameters"][0] == pytest.approx(3.0)
    assert graph.model_labels["family"] == (("bert",), (), ())
    assert "small" in graph.model_labels["token"][2]
    assert graph.derived_from.tolist() == [[1, 0]]
    assert graph.pretrained_on.tolist() == [[0, 1]]
    assert graph.proxies["LogME"][1, 1] == 0.25
    assert graph.dataset_numbers["log_n_classes"][0] == pytest.approx(1.0)
