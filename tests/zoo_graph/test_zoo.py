"""The one object users hold: what its methods hand out beyond what their rooms are tested for."""

import networkx as nx

from zoo_graph import Zoo
from zoo_graph.refresh import refresh
from zoo_graph.store import Connection


def test_the_graph_for_networkx_is_the_one_a_refresh_writes(store: Connection, fill, two_families, tmp_path) -> None:
    fill(store, two_families)
    refresh(store, tmp_path)
    graph = Zoo(store, tmp_path, None).graph()
    assert set(graph) == set(two_families)
    rows = store.read("MATCH (a:Model)-[r:PERFORMS_LIKE]->(b:Model) RETURN a.id AS a, b.id AS b, r.overlap AS overlap")
    written = {(frozenset((row["a"], row["b"])), row["overlap"]) for row in rows}
    assert {(frozenset((a, b)), overlap) for a, b, overlap in graph.edges(data="overlap")} == written
    parts = [{name for name in two_families if name[0] == family} for family in "ab"]
    assert nx.community.modularity(graph.subgraph(parts[0] | parts[1]), parts) > 0.3
