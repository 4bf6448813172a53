import numpy as np
import pytest

from zoo_graph.link_prediction.graph import ZooGraph
from zoo_graph.link_prediction.transfergraph import Embedding, TransferGraph

EMBEDDINGS: tuple[Embedding, ...] = ("node2vec", "graphsage")


@pytest.fixture(scope="module")
def zoo(planted) -> ZooGraph:
    graph: ZooGraph = planted(n_models=16, n_datasets=8)
    return graph


@pytest.mark.parametrize("embedding", EMBEDDINGS)
def test_it_ranks_and_nothing_of_the_targets_results_reaches_it(zoo, embedding) -> None:
    scores = zoo.scores.copy()
    scores[:, 2] = scores[::-1, 2] * 5
    ranker = TransferGraph(embedding)
    first, second, hidden = (
        ranker.predict(graph, ["d2"]) for graph in (zoo, zoo.with_scores(scores), zoo.without("d2"))
    )
    assert np.array_equal(first.mean, second.mean)
    assert np.array_equal(first.mean, hidden.mean)
    assert np.corrcoef(first.mean[:, 0], zoo.scores[:, 2])[0, 1] > 0.3


def test_an_empty_zoo_gives_zeros(zoo) -> None:
    empty = zoo.without(*zoo.datasets)
    assert not TransferGraph().predict(empty, ["d0"]).mean.any()
