"""What the graph keeps of a dataset that was opened here."""

import logging

import numpy as np
import pytest

from selection.datasets import from_rows
from zoo_graph.identity import dataset_record
from zoo_graph.ingest import forget, ingest
from zoo_graph.records import Dataset, Run
from zoo_graph.store import Connection

ONE, TWO = Run.begun("import", "1", {}), Run.begun("import", "2", {})


def test_a_dataset_is_recorded_with_its_embedding_and_none_of_its_rows() -> None:
    record = dataset_record(from_rows("films", "text", [f"film {n}" for n in range(20)], [n % 2 for n in range(20)]))
    assert (record.embedding_by, len(record.embedding)) == ("hashed n-grams 1", 256)
    assert "film 1" not in repr(record)


def test_a_dataset_that_cannot_be_embedded_is_recorded_without(caplog: pytest.LogCaptureFixture, tmp_path) -> None:
    pixels = [np.full((8, 8, 3), n, dtype=np.uint8) for n in range(20)]
    dataset = from_rows("torn", "image", pixels, [n % 2 for n in range(20)])
    for row in dataset.rows:
        row.resize((8, 4, 6), refcheck=False)
    with caplog.at_level(logging.WARNING):
        record = dataset_record(dataset)
    assert (record.n_samples, record.embedding, record.embedding_by) == (20, (), None)
    assert "torn is not embedded (got an image as uint8 of shape (8, 4, 6)" in caplog.text


def test_forgetting_a_run_brings_the_other_embedding_back(embedded_store: Connection) -> None:
    def held() -> list[object]:
        return list(embedded_store.read("MATCH (d:Dataset) RETURN d.embedding AS e, d.embedding_by AS by")[0].values())

    ingest(embedded_store, [Dataset("x", embedding=(0.5, 1.0), embedding_by="e")], ONE)
    ingest(embedded_store, [Dataset("x", embedding=(0.0, -0.25, 2.0), embedding_by="f")], TWO)
    assert held() == [[0.0, -0.25, 2.0], "f"]
    forget(embedded_store, TWO.id)
    assert held() == [[0.5, 1.0], "e"]
