import threading
from pathlib import Path

import pytest

from zoo_graph.scores import score_matrix
from zoo_graph.snapshot import count_derived_write, evidence_version, take
from zoo_graph.store import Connection

THREE = {"a": {"x": 0.9, "y": 0.8, "z": 0.7}, "b": {"x": 0.6, "y": 0.5}, "c": {"z": 0.1}}


def test_a_snapshot_holds_every_result_under_sorted_rows(store: Connection, fill, tmp_path: Path) -> None:
    fill(store, THREE)
    snapshot = take(store, tmp_path)
    assert snapshot.model_ids == ("a", "b", "c")
    assert snapshot.dataset_ids == ("x", "y", "z")
    results = snapshot.results.select(["model", "dataset", "score"]).to_pylist()
    found = {(snapshot.model_ids[r["model"]], snapshot.dataset_ids[r["dataset"]]): r["score"] for r in results}
    assert found == {(model, dataset): score for model, row in THREE.items() for dataset, score in row.items()}
    assert snapshot.results["seed"].to_pylist() == [None] * 6


def test_the_conditions_of_results_come_back_as_they_were_given(store: Connection, fill, tmp_path: Path) -> None:
    fill(store, {"a": {"x": 0.5}}, n_shot=5, seed=0, config='{"image_size": 224}', seconds=1.5, date="2024-05-01")
    fill(store, {"a": {"x": 0.6}})
    given, bare = sorted(take(store, tmp_path).results.to_pylist(), key=lambda row: row["score"])
    assert given | {"model": 0, "dataset": 0, "score": 0.5, "metric": "accuracy", "split": "test"} == given
    assert (given["n_shot"], given["seed"], given["seconds"], given["date"]) == (5, 0, 1.5, "2024-05-01")
    assert given["config"] == '{"image_size": 224}'
    unknown = ("n_shot", "seed", "source", "harness", "date", "config", "seconds")
    assert [bare[name] for name in unknown] == [None] * 7


def test_models_datasets_proxies_and_lineage_are_exported_with_what_is_unknown(
    store: Connection, fill, tmp_path: Path
) -> None:
    fill(store, {"a": {"x": 0.5}, "b": {"x": 0.4}})
    store.write(
        lambda transaction: [
            transaction.run("MATCH (m:Model {id: 'a'}) SET m.n_parameters = 7, m.tasks = ['text', 'image']"),
            transaction.run(
                "MATCH (d:Dataset {id: 'x'}) SET d.tags = ['language:fra', 'law'], d.embedding = [0.5, 1.0]"
            ),
            transaction.run(
                "MATCH (a:Model {id: 'a'}) MATCH (b:Model {id: 'b'}) MATCH (x:Dataset {id: 'x'}) "
                "CREATE (b)-[:DERIVED_FROM {kind: 'truncated'}]->(a) CREATE (a)-[:PRETRAINED_ON]->(x) "
                "CREATE (b)-[:PROXY {name: 'LogME', score: 0.25, seconds: 1.5, sample_digest: 's', n_samples: 9}]->(x)"
            ),
        ]
    )
    snapshot = take(store, tmp_path)
    assert snapshot.models["n_parameters"].to_pylist() == [7, None]
    assert snapshot.models["tasks"].to_pylist() == [["text", "image"], None]
    assert snapshot.datasets["tags"].to_pylist() == [["language:fra", "law"]]
    assert snapshot.datasets["embedding"].to_pylist() == [[0.5, 1.0]]
    assert snapshot.datasets["embedding_by"].to_pylist() == [None]
    assert snapshot.lineage.to_pylist() == [{"model": 1, "base": 0, "kind": "truncated"}]
    assert snapshot.pretrained_on.to_pylist() == [{"model": 0, "dataset": 0}]
    assert snapshot.proxies["score"].to_pylist() == [0.25]


def test_an_empty_zoo_has_empty_columns(store: Connection, tmp_path: Path) -> None:
    snapshot = take(store, tmp_path)
    assert snapshot.results.num_rows == 0
    assert score_matrix(snapshot).scores.shape == (0, 0)


def test_a_write_makes_a_new_snapshot_and_removes_the_old_files(store: Connection, fill, tmp_path: Path) -> None:
    fill(store, THREE)
    first = take(store, tmp_path)
    fill(store, {"d": {"x": 0.3}})
    second = take(store, tmp_path)
    assert second.version == first.version + 1
    assert second.results.num_rows == first.results.num_rows + 1
    folder = (store.folder or tmp_path) / "snapshot"
    instance = store.read("MATCH (g:Graph) RETURN g.instance AS name")[0]["name"]
    assert [path.name for path in folder.iterdir() if instance in path.name] == [f"{instance}-6-{second.version}"]


def test_derived_writes_leave_the_evidence_version_alone(store: Connection, fill, tmp_path: Path) -> None:
    fill(store, THREE)
    before = evidence_version(store)
    store.write(count_derived_write)
    take(store, tmp_path)
    assert evidence_version(store) == before


def test_an_unchanged_version_is_read_from_its_files(store: Connection, fill, tmp_path: Path) -> None:
    fill(store, THREE)
    take(store, tmp_path)
    store.write(
        lambda transaction: [
            transaction.run("MATCH (:Model {id: 'a'})-[r:MEASURED]->() SET r.score = 0.0"),
            count_derived_write(transaction),
        ]
    )
    assert 0.9 in take(store, tmp_path).results["score"].to_pylist()


def test_two_zoos_may_share_a_cache_folder(neo4j_store: Connection, fill, tmp_path: Path) -> None:
    fill(neo4j_store, THREE)
    take(neo4j_store, tmp_path)
    neo4j_store.write(
        lambda transaction: transaction.run(  # the server was emptied and filled anew, up to the same version
            "MATCH (g:Graph) SET g.instance = null, g.version = g.version - 1 WITH g "
            "MATCH (:Model {id: 'a'})-[r:MEASURED]->(:Dataset {id: 'x'}) SET r.score = 0.0"
        )
    )
    assert 0.9 not in take(neo4j_store, tmp_path).results["score"].to_pylist()


def test_a_server_without_a_cache_folder_is_refused(neo4j_store: Connection) -> None:
    with pytest.raises(ValueError, match="cache"):
        take(neo4j_store)


def test_an_export_during_imports_is_one_version(embedded_store: Connection, fill, tmp_path: Path) -> None:
    fill(embedded_store, THREE)
    stop = threading.Event()

    def import_pairs() -> None:
        for number in range(40):
            fill(embedded_store, {f"n{number}": {"x": 0.1, "y": 0.2}})
            if stop.wait(0.01):
                return

    importer = threading.Thread(target=import_pairs)
    importer.start()
    snapshot = take(embedded_store, tmp_path)
    stop.set()
    importer.join()
    assert snapshot.results.num_rows == 6 + 2 * (snapshot.models.num_rows - 3)


def test_spoilt_files_are_exported_anew(embedded_store: Connection, fill) -> None:
    fill(embedded_store, THREE)
    take(embedded_store)
    folder = embedded_store.folder
    assert folder is not None
    for file in (folder / "snapshot").glob("*/results.parquet"):
        file.write_bytes(b"PAR1 no more")
    assert take(embedded_store).results.num_rows == 6
    assert take(embedded_store).results.num_rows == 6


def test_a_cache_that_cannot_be_written_costs_only_time(neo4j_store: Connection, fill, tmp_path: Path) -> None:
    fill(neo4j_store, THREE)
    (tmp_path / "snapshot").write_text("a file where the folder should be")
    assert take(neo4j_store, tmp_path).results.num_rows == 6
