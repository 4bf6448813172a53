"""Distances between datasets that the user gives: into the graph, through refresh and forget, to recall."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zoo_graph.evidence import candidates_of, evidence, given_distances
from zoo_graph.ingest import forget, import_file, ingest
from zoo_graph.link_evidence import link_graph
from zoo_graph.records import Dataset, Distance, Record, Run
from zoo_graph.refresh import refresh
from zoo_graph.snapshot import take
from zoo_graph.store import Connection

ONE, TWO = Run.begun("import", "1", {}), Run.begun("import", "2", {})
GIVEN = (
    "MATCH (a:Dataset)-[r:SIMILAR_TO {basis: 'given'}]->(b:Dataset) "
    "RETURN collect([a.id, b.id, r.distance, r.runs]) AS rows"
)


def given(store: Connection) -> list[Any]:
    return sorted(store.read(GIVEN)[0]["rows"])


def test_a_table_of_distances_is_imported_once(store: Connection, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("dataset,other,distance\nx,y,0.5\ny,z,2\nx,y,0.5\n")
    report = import_file(store, tmp_path / "x.csv")
    assert (report.counts.distances.new, report.counts.distances.already, report.counts.datasets.new) == (2, 1, 3)
    assert "distances: 2 new, 1 already there" in "\n".join(report.lines())
    assert [row[:3] for row in given(store)] == [["x", "y", 0.5], ["y", "z", 2.0]]
    version = store.version()
    assert import_file(store, tmp_path / "x.csv").counts.new == 0
    assert store.version() == version


def test_a_refresh_leaves_given_distances_alone(store: Connection, fill, two_families, tmp_path: Path) -> None:
    fill(store, two_families)
    refresh(store, tmp_path)
    ingest(store, [Distance("d0", "d2", 0.5), Distance("d0", "d1", 9.0)], ONE)
    assert all(job.changes is None for job in refresh(store, tmp_path).jobs)
    held = given(store)
    refresh(store, tmp_path, exclude_datasets=["d0"])
    assert given(store) == held
    assert len(held) == 2


def test_forgetting_takes_only_what_nobody_else_gave(store: Connection) -> None:
    shared, own = Distance("x", "y", 0.5), Distance("x", "z", 2.0)
    ingest(store, [shared, own], ONE)
    ingest(store, [shared, Dataset("only")], TWO)
    gone = forget(store, ONE.id)
    assert (gone.distances.new, gone.distances.already) == (1, 1)
    assert given(store) == [["x", "y", 0.5, [TWO.id]]]
    forget(store, TWO.id)
    assert store.read("MATCH (d:Dataset) RETURN count(d) AS n") == [{"n": 0}]


@pytest.fixture
def told(embedded_store: Connection, fill, tmp_path: Path) -> Connection:
    """Three datasets and a target without results: it is near x; two say how far x and y are apart."""
    fill(embedded_store, {f"m{n}": {"x": n / 10, "y": 0.3, "z": 0.4} for n in range(3)})
    records: list[Record] = [Distance("x", "y", 2.0), Distance("x", "y", 4.0), Distance("z", "y", 3.0)]
    ingest(embedded_store, [*records, Distance("new", "x", 0.3), Distance("new", "y", 6.0)], ONE)
    return embedded_store


def test_distances_hold_in_both_directions_and_several_are_averaged(told: Connection, tmp_path: Path) -> None:
    found = given_distances(take(told, tmp_path), ["x", "y", "z", "stranger"])
    wanted = [[0, 3, np.nan, np.nan], [3, 0, 3, np.nan], [np.nan, 3, 0, np.nan], [np.nan, np.nan, np.nan, 0]]
    np.testing.assert_array_equal(found, wanted)


def test_recall_and_link_prediction_see_given_distances(told: Connection, tmp_path: Path) -> None:
    snapshot = take(told, tmp_path)
    alike = evidence(snapshot, candidates_of(snapshot), target="new", proxies={}).similarity["distance"]
    assert alike.shape == (4, 4)
    assert alike[3, 0] > 0.9 > alike[3, 1]
    assert np.isnan(alike[3, 2])
    assert "distance" in link_graph(snapshot).similarity
    grown = link_graph(snapshot, new=Dataset("newer"))
    assert np.isnan(grown.similarity["distance"][-1, :-1]).all()
