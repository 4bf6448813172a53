import csv
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selection.records import Candidate, Measurement, Outcome, Plan, Progress, ProxyScore, Recipe, Standing, Trial
from zoo_graph.errors import ImportFileError, InputError, UnknownNameError
from zoo_graph.ingest import (
    Tally,
    forget,
    import_file,
    ingest,
    record_measurements,
    record_outcome,
    session,
)
from zoo_graph.records import Dataset, Lineage, Model, Proxy, Record, Result, Run
from zoo_graph.store import Connection

RESULTS = "MATCH (m:Model)-[r:MEASURED]->(d:Dataset) RETURN collect([m.id, d.id, r.value, r.id, r.config]) AS rows"


def result(model: str, dataset: str, value: float = 0.5, **more: Any) -> Result:
    return Result(model, dataset, "accuracy", value, value, "fraction", **more)


def run(name: str = "import-1") -> Run:
    return Run(name, "import", "2026-01-01T00:00:00+00:00")


def results_in(store: Connection) -> list[Any]:
    return sorted(store.read(RESULTS)[0]["rows"], key=str)


def counted(store: Connection) -> dict[str, int]:
    rows = store.read("MATCH (n) WHERE NOT n:Migration AND NOT n:Graph RETURN labels(n)[0] AS label, count(n) AS n")
    edges = store.read("MATCH ()-[r]->() RETURN type(r) AS label, count(r) AS n")
    return {row["label"]: row["n"] for row in (*rows, *edges)}


def table(path: Path, n_models: int, n_datasets: int, seed: int = 0) -> Path:
    chance = random.Random(seed)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("model", "dataset", "accuracy", "img_size"))
        for model in range(n_models):
            for dataset in range(n_datasets):
                writer.writerow((f"org/m{model}", f"d{dataset}", round(chance.random(), 4), 224))
    return path


EVERYTHING: list[Record] = [
    Model("Org/Big", family="bert", n_parameters=110_000_000, license="mit", tasks=("nli", "sts"), aliases=("big",)),
    Model("org/small", derived_from=(Lineage("Org/Big", "truncated"),), pretrained_on=("books", "wiki")),
    Dataset("sst2", task="sentiment", n_classes=2),
    result(
        "Org/Big", "sst2", 0.9, split="test", seed=1, config={"img_size": 224}, curve=(0.5, 0.8), curve_steps=(1, 2)
    ),
    result("org/small", "sst2", 0.8, n_shot=5, seconds=12.5),
    Proxy("org/small", "sst2", "logme", -0.5, 1.0, "digest", 500),
]


def test_records_become_nodes_and_relationships(store: Connection) -> None:
    counts = ingest(store, EVERYTHING, run())
    assert (counts.models, counts.datasets, counts.results) == (Tally(2, 0), Tally(3, 0), Tally(2, 0))
    assert (counts.proxies, counts.lineage, counts.pretraining, counts.aliases) == (
        Tally(1),
        Tally(1),
        Tally(2),
        Tally(1),
    )
    (big,) = store.read("MATCH (m:Model {id: 'Org/Big'}) RETURN properties(m) AS m")
    assert big["m"] == {
        "id": "Org/Big", "key": "org/big", "name": "Org/Big", "family": "bert", "n_parameters": 110_000_000,
        "license": "mit", "tasks": ["nli", "sts"], "runs": ["import-1"], "told": big["m"]["told"],
    }  # fmt: skip
    (edge,) = store.read("MATCH (:Model {id: 'Org/Big'})-[r:MEASURED]->() RETURN properties(r) AS r")
    assert edge["r"] == {
        "id": EVERYTHING[3].id, "metric": "accuracy", "value": 0.9, "score": 0.9, "unit": "fraction", "split": "test",
        "seed": 1, "config": '{"img_size": 224}', "curve": [0.5, 0.8], "curve_steps": [1, 2], "runs": ["import-1"],
    }  # type: ignore[union-attr]  # fmt: skip
    (small,) = store.read(
        "MATCH (b:Model)<-[l:DERIVED_FROM]-(m:Model)-[p:PROXY]->(:Dataset) "
        "RETURN b.id AS b, l.kind AS kind, p.name AS p"
    )
    assert small == {"b": "Org/Big", "kind": "truncated", "p": "logme"}


def test_twice_is_once_and_writes_nothing_the_second_time(store: Connection) -> None:
    ingest(store, EVERYTHING, run())
    before, version = counted(store), store.version()
    counts = ingest(store, EVERYTHING, run())
    assert counts.new == 0
    assert counts.results == Tally(0, 2)
    assert (counted(store), store.version()) == (before, version)


def test_the_order_of_records_does_not_matter(store: Connection) -> None:
    ingest(store, EVERYTHING, run())
    before, results = counted(store), results_in(store)
    forget(store, "import-1")
    shuffled = list(EVERYTHING)
    random.Random(3).shuffle(shuffled)
    ingest(store, shuffled, run())
    assert (counted(store), results_in(store)) == (before, results)


def test_a_run_says_what_it_brought(store: Connection) -> None:
    ingest(store, EVERYTHING, run())
    (row,) = store.read("MATCH (r:Run) RETURN r.status AS status, r.counts AS counts, r.kind AS kind, r.finished AS at")
    assert (row["status"], row["kind"]) == ("done", "import")
    assert json.loads(row["counts"])["results"] == 2
    assert row["at"]


def test_a_property_told_later_is_added_and_what_was_known_stays(store: Connection) -> None:
    ingest(store, [result("a", "d")], run())
    ingest(store, [Model("a", family="vit"), Model("b", name="B!")], run("import-2"))
    ingest(store, [Model("a", license="mit")], run("import-3"))
    rows = store.read(
        "MATCH (m:Model) RETURN m.id AS id, m.name AS name, m.family AS family, m.license AS license ORDER BY id"
    )
    assert rows == [
        {"id": "a", "name": "a", "family": "vit", "license": "mit"},
        {"id": "b", "name": "B!", "family": None, "license": None},
    ]


def test_one_model_under_several_names_is_one(store: Connection) -> None:
    ingest(
        store, [Model("FacebookAI/roberta", aliases=("roberta-base",)), result("FacebookAI/roberta", "d", 0.5)], run()
    )
    counts = ingest(
        store,
        [result("facebookai/RoBERTa", "D", 0.6), result("Roberta-Base", "d", 0.5), result("x", "d")],
        run("import-2"),
    )
    assert counts.results == Tally(2, 1)
    assert counts.models == Tally(1, 1)
    assert {row[0] for row in results_in(store)} == {"FacebookAI/roberta", "x"}


def test_an_alias_that_names_another_model_is_refused_and_said(store: Connection) -> None:
    ingest(store, [Model("a"), Model("b", aliases=("bee",))], run())
    counts = ingest(store, [Model("a", aliases=("B", "bee", "A"))], run("import-2"))
    assert len(counts.conflicts) == 2
    assert "alias 'B' of 'a' was not taken: it names 'b'" in counts.conflicts[0]


def test_forgetting_removes_only_what_no_other_run_brought(store: Connection) -> None:
    ingest(store, EVERYTHING, run("one"))
    ingest(store, [result("org/small", "sst2", 0.8, n_shot=5), result("new", "d2")], run("two"))
    gone = forget(store, "one")
    assert gone.results == Tally(1, 1)
    assert gone.models == Tally(1, 1)
    assert [row[:3] for row in results_in(store)] == [["new", "d2", 0.5], ["org/small", "sst2", 0.8]]
    assert counted(store) == {"Model": 2, "Dataset": 2, "Run": 1, "MEASURED": 2}
    forget(store, "two")
    assert counted(store) == {}


PROPERTIES = "MATCH (m:Model {id: 'a'}) RETURN properties(m) AS m"


def test_forgetting_gives_back_what_the_other_imports_tell(store: Connection) -> None:
    ingest(store, [Model("a", license="mit", n_parameters=5, tasks=("nli",)), Dataset("d", task="old")], run("one"))
    before = store.read(PROPERTIES)[0]["m"]
    told = [Model("a", license="bsd", family="vit", tasks=("sts",), name="A!"), Dataset("d", task="new", n_classes=3)]
    counts = ingest(store, told, run("two"))
    assert counts.n_conflicts == 3
    assert "a: license is 'bsd' here and 'mit' in one: kept 'bsd', which came later" in counts.conflicts
    assert any(line == "conflicts with other imports: 3" for line in counts.lines())
    (row,) = store.read(PROPERTIES)
    assert (row["m"]["license"], row["m"]["family"], row["m"]["n_parameters"]) == ("bsd", "vit", 5)
    forget(store, "two")
    assert store.read(PROPERTIES)[0]["m"] == before
    (dataset,) = store.read("MATCH (d:Dataset) RETURN d.task AS task, d.n_classes AS n")
    assert dataset == {"task": "old", "n": None}


def test_a_forget_that_stopped_among_the_nodes_continues(store: Connection, monkeypatch: Any) -> None:
    from zoo_graph.ingest import forgetting, told

    ingest(store, [Model(f"m{i}", license="mit") for i in range(6)], run("one"))
    ingest(store, [Model(f"m{i}", license="bsd") for i in range(6)], run("two"))
    seen: list[str] = []

    def stop(node: dict[str, Any], run_id: str) -> dict[str, Any]:
        seen.append(node["id"])
        if len(seen) == 4:
            raise KeyboardInterrupt
        return told.untell(node, run_id)

    monkeypatch.setattr(forgetting, "NODES_AT_ONCE", 2)
    monkeypatch.setattr(forgetting, "untell", stop)
    with pytest.raises(KeyboardInterrupt):
        forget(store, "two")
    licences = "MATCH (m:Model) RETURN m.license AS license, count(m) AS n ORDER BY license"
    assert store.read(licences) == [{"license": "bsd", "n": 4}, {"license": "mit", "n": 2}]
    forget(store, "two")
    assert store.read(licences) == [{"license": "mit", "n": 6}]
    assert counted(store) == {"Model": 6, "Run": 1}


def test_forgetting_the_earlier_import_keeps_the_later_word(store: Connection) -> None:
    ingest(store, [Model("a", license="mit", family="vit")], run("one"))
    ingest(store, [Model("a", license="bsd")], run("two"))
    forget(store, "one")
    (row,) = store.read(PROPERTIES)
    assert (row["m"]["license"], row["m"].get("family")) == ("bsd", None)


def test_importing_the_earlier_again_changes_nothing(store: Connection) -> None:
    first, second = [Model("a", license="mit")], [Model("a", license="bsd")]
    ingest(store, first, run("one"))
    ingest(store, second, run("two"))
    before, version = store.read(PROPERTIES), store.version()
    assert ingest(store, first, run("one")).n_conflicts == 1
    assert (store.read(PROPERTIES), store.version()) == (before, version)


@pytest.mark.parametrize("size", [1, 100])
def test_a_run_that_tells_several_times_is_forgotten_whole(store: Connection, monkeypatch: Any, size: int) -> None:
    monkeypatch.setattr(session, "BATCH_RECORDS", size)
    ingest(store, [result("a", "d")], run("zero"))
    before = store.read(PROPERTIES)
    ingest(store, [Model("a", license="mit"), Model("a", family="vit"), Model("A", license="bsd")], run("one"))
    assert store.read(PROPERTIES)[0]["m"]["license"] == "mit"
    forget(store, "one")
    assert store.read(PROPERTIES) == before


def test_many_conflicts_are_counted_and_the_first_told(store: Connection) -> None:
    ingest(store, [Model(f"m{i}", license="mit") for i in range(30)], run("one"))
    counts = ingest(store, [Model(f"m{i}", license="bsd") for i in range(30)], run("two"))
    assert (counts.n_conflicts, len(counts.conflicts)) == (30, 10)
    assert counts.lines()[-1].strip() == "and 20 more"


def test_a_dry_run_needs_no_store(store: Connection, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(session, "BATCH_RECORDS", 7)
    path = tmp_path / "r.csv"
    rows = [f"m{i % 4},d{i},0.5,{i % 4 + 1}M" for i in range(20)]
    path.write_text("\n".join(["model,dataset,accuracy,n_parameters", *rows]) + "\n")
    dry = import_file(None, path, dry_run=True)
    assert dry.counts == import_file(store, path).counts
    records = [Model(f"m{i}") for i in range(7)] + [result(f"m{i}", "d0") for i in range(7)]
    assert session.preview(None, records, run()).results == Tally(7)
    with pytest.raises(InputError, match="no connection"):
        import_file(None, path)


def test_forgetting_takes_derived_relationships_of_lost_models_along(store: Connection) -> None:
    ingest(store, [result("a", "d")], run())
    store.write(lambda tx: tx.run("MATCH (m:Model), (d:Dataset) CREATE (m)-[:SCORED {run: 'r', score: 1.0}]->(d)"))
    forget(store, "import-1")
    assert counted(store) == {}


def test_an_unknown_run_is_told_with_close_ones(store: Connection) -> None:
    ingest(store, [result("a", "d")], run("import-abc"))
    with pytest.raises(UnknownNameError, match="did you mean import-abc"):
        forget(store, "import-abd")


def test_a_file_is_imported_and_its_bad_rows_reported(store: Connection, tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("model,dataset,top1\na,d,89\nb,d,oops\nc,d,101\nd,d,85\n")
    report = import_file(store, path, rejects=tmp_path / "rejects.csv")
    assert (report.counts.results, report.n_rejected, report.format) == (Tally(2, 0), 2, "long")
    assert dict(report.units) == {"accuracy": "percent"}
    text = "\n".join(report.lines())
    assert "line 3, column 'top1', got 'oops'; rule: is a number" in text
    assert "results: 2 new, 0 already there" in text
    with (tmp_path / "rejects.csv").open() as file:
        assert list(csv.reader(file))[::2] == [
            ["file", "line", "column", "value", "rule"],
            [str(path), "4", "top1", "101", "accuracy in percent is 0 to 100"],
        ]


def test_a_file_twice_is_one_run_and_another_mapping_is_another(store: Connection, tmp_path: Path) -> None:
    path = table(tmp_path / "r.csv", 5, 4)
    first, second = import_file(store, path), import_file(store, path)
    assert first.run == second.run
    assert (second.counts.new, second.counts.results) == (0, Tally(0, 20))
    other = import_file(store, path, ignore=["img_size"])
    assert other.run != first.run
    assert other.counts.results == Tally(20, 0)


def test_a_shuffled_file_gives_the_same_graph(store: Connection, tmp_path: Path) -> None:
    path = table(tmp_path / "r.csv", 6, 5)
    import_file(store, path)
    before = results_in(store)
    head, *rows = path.read_text().splitlines()
    random.Random(1).shuffle(rows)
    path.write_text("\n".join([head, *rows]) + "\n")
    assert import_file(store, path).counts.results == Tally(0, 30)
    assert results_in(store) == before


def test_a_dry_run_writes_nothing_and_counts_right(store: Connection, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(session, "BATCH_RECORDS", 7)
    path = table(tmp_path / "r.csv", 5, 4)
    version = store.version()
    dry = import_file(store, path, dry_run=True)
    assert (store.version(), counted(store)) == (version, {})
    assert dry.counts == import_file(store, path).counts
    assert import_file(store, path, dry_run=True).counts.results == Tally(0, 20)


def test_a_file_without_a_good_row_leaves_no_run(store: Connection, tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("model,dataset,accuracy\na,d,oops\n")
    report = import_file(store, path)
    assert report.empty
    assert counted(store) == {}


def test_a_file_that_breaks_off_keeps_what_was_acknowledged(
    store: Connection, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(session, "BATCH_RECORDS", 100)
    path = table(tmp_path / "r.csv", 200, 30)
    good = path.read_bytes()
    path.write_bytes(good + b"\xff\xff,d,0.5,224\n")
    with pytest.raises(ImportFileError, match="not UTF-8"):
        import_file(store, path)  # found while the unit is inferred, before anything is written
    assert counted(store) == {}
    with pytest.raises(ImportFileError, match="not UTF-8"):
        import_file(store, path, unit="fraction")
    (row,) = store.read("MATCH (r:Run) RETURN r.status AS status")
    assert row["status"] == "failed"
    assert len(results_in(store)) > 1000
    path.write_bytes(good)
    assert import_file(store, path, unit="fraction").counts.results.total == 6000
    assert len(results_in(store)) == 6000


def test_progress_is_told_as_acknowledged(store: Connection, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(session, "BATCH_RECORDS", 8)
    told: list[int] = []
    import_file(store, table(tmp_path / "r.csv", 5, 4), track=lambda done, total: told.append(done))
    assert told == [8, 16, 20]


def test_two_importers_at_once_make_no_doubles(store: Connection, monkeypatch: Any) -> None:
    monkeypatch.setattr(session, "BATCH_RECORDS", 50)
    records = [result(f"m{i % 20}", f"d{i // 20}", i / 1000) for i in range(400)]
    threads = [
        threading.Thread(target=ingest, args=(store, records[shift:] + records[:shift], run(f"run-{shift}")))
        for shift in (0, 150)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted(store) == {"Model": 20, "Dataset": 20, "Run": 2, "MEASURED": 400}
    (row,) = store.read("MATCH ()-[r:MEASURED]->() RETURN count(DISTINCT r.id) AS n, min(size(r.runs)) AS runs")
    assert row == {"n": 400, "runs": 2}


IMPORTER = """
import sys
from zoo_graph.ingest import import_file, session
from zoo_graph.store import open_store
session.BATCH_RECORDS = 100
with open_store(sys.argv[1]) as store:
    import_file(store, sys.argv[2], track=lambda done, total: print(done, flush=True))
"""


def test_a_killed_import_lost_nothing_acknowledged_and_continues(
    fresh_zoo: Callable[..., Connection], tmp_path: Path
) -> None:
    store, path = fresh_zoo(), table(tmp_path / "r.csv", 60, 50)
    for kill_after in (3, 11, 20):
        command = [sys.executable, "-c", IMPORTER, str(store.folder), str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            acknowledged = [int(child.stdout.readline()) for _ in range(kill_after)][-1]
            os.kill(child.pid, signal.SIGKILL)
            told = child.stdout.read().split()
        acknowledged = max([acknowledged, *map(int, told)])
        (row,) = store.read("MATCH ()-[r:MEASURED]->() RETURN count(r) AS n, count(DISTINCT r.id) AS ids")
        assert row["n"] == row["ids"] >= acknowledged
    report = import_file(store, path)
    assert report.counts.results.total == 3000
    assert 0 < report.counts.results.new < 3000
    assert store.read("MATCH ()-[r:MEASURED]->() RETURN count(r) AS n, count(DISTINCT r.id) AS ids")[0] == {
        "n": 3000,
        "ids": 3000,
    }
    assert store.read("MATCH (r:Run) RETURN r.status AS status") == [{"status": "done"}]


def test_a_forget_that_stopped_half_way_continues(store: Connection, monkeypatch: Any) -> None:
    from zoo_graph.ingest import forgetting

    monkeypatch.setattr(forgetting, "EDGES_AT_ONCE", 10)
    ingest(store, [result(f"m{i}", f"d{j}") for i in range(10) for j in range(10)], run())

    def stop(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        forget(store, "import-1", track=stop)
    assert counted(store).get("MEASURED", 0) < 100
    assert store.read("MATCH (r:Run) RETURN r.status AS status") == [{"status": "running"}]
    forget(store, "import-1")
    assert counted(store) == {}


RECIPE = Recipe(seed=3)
PROGRESS = Progress(20, (10, 20), (0.6, 0.7), 12.0, 11.0)


def test_measurements_are_recorded_once(store: Connection) -> None:
    proxies = (ProxyScore("leep", -0.4, 0.1, 500, "s"), ProxyScore("parc", float("nan"), 0.1, 500, "s", "one class"))
    item = Measurement("m", "d", "accuracy", RECIPE, PROGRESS, 0.72, 1000, 200, proxies=proxies)
    counts = record_measurements(store, [item, item], run("measure-1"))
    assert (counts.results, counts.proxies) == (Tally(1, 1), Tally(1, 1))
    (row,) = store.read("MATCH ()-[r:MEASURED]->() RETURN properties(r) AS r")
    told = row["r"]
    assert (told["value"], told["split"], told["method"], told["seed"], told["seconds"]) == (
        0.72,
        "test",
        "full",
        3,
        12.0,
    )
    assert (told["curve"], told["curve_steps"]) == ([0.6, 0.7], [10, 20])
    assert json.loads(told["config"])["n_train"] == 1000


def test_an_outcome_records_everyone_trained_and_the_winners_test(store: Connection) -> None:
    candidates = [Candidate("a", family="bert", n_parameters=5), Candidate("b"), Candidate("c")]
    trials = tuple(Trial(candidate, RECIPE, (10, 20)) for candidate in candidates)
    untried = Progress(0, (), (), 0.0, 0.0)
    standings = (
        Standing(1, candidates[0], 2, PROGRESS),
        Standing(2, candidates[1], 1, Progress(10, (10,), (0.5,), 6.0, 5.0), dropped="dropped"),
        Standing(3, candidates[2], 0, untried, dropped="failed", reason="no memory"),
    )
    outcome = Outcome("d", "accuracy", standings, 0.71, None, Plan(trials, (), 0, 0, 0), 18.0, 16.0)
    counts = record_outcome(store, outcome, Run("select-1", "selection", "2026-01-01T00:00:00+00:00"))
    assert (counts.results, counts.models) == (Tally(3), Tally(3))
    rows = store.read(
        "MATCH (m:Model)-[r:MEASURED]->() "
        "RETURN m.id AS m, m.family AS f, r.split AS split, r.value AS v ORDER BY m, split"
    )
    assert [(row["m"], row["split"], row["v"]) for row in rows] == [
        ("a", "test", 0.71),
        ("a", "validation", 0.7),
        ("b", "validation", 0.5),
    ]
    assert rows[0]["f"] == "bert"
