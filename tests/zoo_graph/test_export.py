import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zoo_graph.errors import InputError
from zoo_graph.export import export
from zoo_graph.ingest import forget, import_folder, ingest
from zoo_graph.records import Dataset, Distance, Lineage, Model, Proxy, Record, Result, Run
from zoo_graph.store import Connection

RUN = Run("import-1", "import", "2026-01-01T00:00:00+00:00")
EVERYTHING: list[Record] = [
    Model(
        "Org/Big", name="Big one", family="bert", architecture="BertModel", modality="image+text", n_parameters=7_000
    ),
    Model("org/small@r1", tasks=("nli", "sts"), license="mit", source="hub", input_spec="512 tokens", created="2024"),
    Model(
        "org/small@r1",
        derived_from=(Lineage("Org/Big", "truncated"), Lineage("x", "merge")),
        pretrained_on=("a;b", "c"),
    ),
    Model("Org/Big", aliases=("big", "the, big")),
    Dataset(
        "sst2",
        name='the "SST"',
        task="sentiment",
        modality="text",
        n_classes=2,
        n_samples=0,
        features_digest="f",
        labels_digest="l",
        tags=("language:fra", "law, and order"),
        embedding=(0.25, -1.0, 1 / 3, 0.0),
        embedding_by="hashed, n-grams",
    ),
    Result("Org/Big", "sst2", "accuracy", 89.1, 0.891, "percent", split="test", n_shot=0, method="full", seed=1),
    Result("Org/Big", "sst2", "loss", 0.1 + 0.2, -0.1 - 0.2, "raw", source="s", harness="h 1", date="2024-01-01"),
    Result(
        "Org/Big", "sst2", "latency", 5.0, -5.0, "raw", config={"lr": 5e-05, "size": 224, "cased": True, "note": "a,b"}
    ),
    Result("x", "sst2", "accuracy", 1.0, 1.0, "fraction", seconds=1e-7, curve=(0.5, 1.0, 1 / 3), curve_steps=(1, 2, 3)),
    Result("x", "sst2", "f1", 89.1, 0.891, "percent", curve=(0.607, 0.891), curve_steps=(1, 2)),
    Result("x", "sst2", "mse", 2.5, -2.5, "raw", curve=(-9.0, -2.5), curve_steps=(1, 2)),
    Result("x", "sst2", "latency", 5.0, -5.0, "raw", curve=(-7.0, -5.0)),
    Proxy("x", "sst2", "logme", -1 / 3, 0.25, "d", 500),
    Distance("sst2", "a;b", 1 / 3),
]


def everything_in(store: Connection) -> list[Any]:
    nodes = store.read("MATCH (n) WHERE n:Model OR n:Dataset OR n:Alias RETURN collect(properties(n)) AS rows")[0][
        "rows"
    ]
    edges = store.read("MATCH (a)-[r]->(b) RETURN collect([a.id, type(r), b.id, properties(r)]) AS rows")[0]["rows"]
    for row in nodes:
        row.pop("runs")
        row.pop("told", None)  # as runs: whose word it is
    for row in edges:
        row[3].pop("runs", None)
    return sorted((*nodes, *edges), key=repr)


def test_what_is_exported_imports_as_the_same_graph(store: Connection, tmp_path: Path) -> None:
    ingest(store, EVERYTHING, RUN)
    before = everything_in(store)
    counts = export(store, tmp_path / "out")
    assert counts == {"models": 3, "datasets": 3, "results": 7, "proxies": 1, "distances": 1}
    forget(store, RUN.id)
    assert everything_in(store) == []
    reports = import_folder(store, tmp_path / "out")
    assert [report.n_rejected for report in reports] == [0, 0, 0, 0, 0]
    assert everything_in(store) == before


def test_an_export_imported_over_its_zoo_adds_nothing(store: Connection, tmp_path: Path) -> None:
    ingest(store, EVERYTHING, RUN)
    export(store, tmp_path)
    assert sum(report.counts.new for report in import_folder(store, tmp_path)) == 0


def test_equal_graphs_give_equal_files(store: Connection, tmp_path: Path) -> None:
    ingest(store, EVERYTHING, RUN)
    export(store, tmp_path / "one")
    forget(store, RUN.id)
    ingest(store, list(reversed(EVERYTHING)), RUN)
    export(store, tmp_path / "two")
    for name in ("models", "datasets", "results", "proxies", "distances"):
        assert (tmp_path / "one" / f"{name}.csv").read_text() == (tmp_path / "two" / f"{name}.csv").read_text()


def test_an_empty_zoo_exports_headers(store: Connection, tmp_path: Path) -> None:
    assert set(export(store, tmp_path).values()) == {0}
    assert (tmp_path / "results.csv").read_text().startswith("model,dataset,metric,value")


def test_a_folder_that_cannot_be_written_is_told(store: Connection, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write to"):
        export(store, tmp_path / "file" / "x")


# Importers read names in NFC, so only such names come back as they went out.
names = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8).map(
    lambda s: unicodedata.normalize("NFC", f"n-{s}")
)
values = st.floats(0, 1)
results = st.builds(
    lambda model, dataset, value, seed, method, config, curve: Result(
        model,
        dataset,
        "accuracy",
        value,
        value,
        "fraction",
        seed=seed,
        method=method,
        config=config or None,
        curve=curve,
    ),
    names,
    names,
    values,
    st.none() | st.integers(0, 9),
    st.none() | st.sampled_from(["full", "head, only"]),
    st.dictionaries(names, st.integers(-5, 5) | st.floats(-1, 1) | st.booleans() | names, max_size=3),
    st.lists(values, max_size=3).map(tuple),
)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(results, min_size=1, max_size=12))
def test_any_results_survive_export_and_import(
    embedded_store: Connection, tmp_path: Path, records: list[Record]
) -> None:
    ingest(embedded_store, records, RUN)
    before = everything_in(embedded_store)
    export(embedded_store, tmp_path)
    forget(embedded_store, RUN.id)
    reports = import_folder(embedded_store, tmp_path)
    after = everything_in(embedded_store)
    for report in (report for report in reports if not report.empty):
        forget(embedded_store, report.run)
    assert after == before
