"""The product's recall with one part left out each, as rankers beside the whole."""

from collections.abc import Mapping
from dataclasses import replace

from selection.recall import Evidence
from zoo_graph.backtest.quality import Ranking
from zoo_graph.backtest.rankers import Ranker, ours


def no_proxies(evidence: Evidence, seed: int) -> Ranking:
    """Without proxy scores."""
    return ours(replace(evidence, proxies={}, past_proxies={}), seed)


def no_similarity(evidence: Evidence, seed: int) -> Ranking:
    """Without what is known of datasets."""
    return ours(replace(evidence, similarity={}), seed)


def as_expected(evidence: Evidence, seed: int) -> Ranking:
    """Without lists: the best expected are the picks."""
    return replace(ours(evidence, seed), lists={})


def history_and_lists(evidence: Evidence, seed: int) -> Ranking:
    """Without either: history and the lists made of it."""
    return no_proxies(replace(evidence, similarity={}), seed)


ABLATIONS: Mapping[str, Ranker] = {
    "ours_no_proxies": no_proxies,
    "ours_no_similarity": no_similarity,
    "ours_as_expected": as_expected,
    "ours_of_history_alone": history_and_lists,
}
