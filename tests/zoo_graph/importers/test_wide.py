from collections.abc import Callable
from typing import Any

import pytest

from zoo_graph.errors import ImportFileError

Read = Callable[..., Any]


def test_a_matrix_is_one_result_per_filled_cell(read_csv: Read) -> None:
    found = read_csv("model,sst2,cola\na,90,\nb,80,70\n", metric="accuracy")
    assert found.format == "wide"
    assert [(r.model, r.dataset, r.score) for r in found.results] == [
        ("a", "sst2", 0.9),
        ("b", "sst2", 0.8),
        ("b", "cola", 0.7),
    ]
    assert not found.rejected


def test_single_columns_may_have_another_metric(read_csv: Read) -> None:
    found = read_csv("model,sst2,cola\na,0.9,-0.04\n", metric="accuracy", metrics={"cola": "mcc"})
    assert [(r.metric, r.value) for r in found.results] == [("accuracy", 0.9), ("mcc", -0.04)]
    (row,) = read_csv("model,sst2,cola\na,0.9,-0.04\n", metric="accuracy").rejected
    assert (row.line, row.column, row.value) == (2, "cola", "-0.04")


def test_bad_cells_are_rejected_alone(read_csv: Read) -> None:
    found = read_csv("model,x,y\na,0.5,oops\n,0.1,0.2\nb,nan,0.3\n", metric="acc")
    assert [(r.model, r.dataset) for r in found.results] == [("a", "x"), ("b", "y")]
    assert [(row.line, row.column) for row in found.rejected] == [(2, "y"), (3, "model"), (4, "x")]


def test_averages_texts_and_properties_are_no_datasets(read_csv: Read) -> None:
    found = read_csv("model,params (M),note,Average perf.,mnist\na,86,big,0.7,0.9\n", metric="acc")
    assert [r.dataset for r in found.results] == ["mnist"]
    assert found.models[0].n_parameters == 86_000_000
    assert any("'Average perf.'" in note for note in found.notes)
    assert any("'note'" in note for note in found.notes)


def test_a_matrix_may_lie_on_its_side(read_csv: Read) -> None:
    found = read_csv("task,bert,vit\nsst2,0.9,0.1\n", format="wide", columns={"dataset": "task"}, metric="acc")
    assert [(r.model, r.dataset) for r in found.results] == [("bert", "sst2"), ("vit", "sst2")]


def test_dataset_columns_can_be_renamed(read_csv: Read) -> None:
    (result,) = read_csv("model,ImageNet 1k\na,0.9\n", metric="acc", rename={"ImageNet 1k": "imagenet-1k"}).results
    assert result.dataset == "imagenet-1k"


def test_a_matrix_needs_its_metric(read_csv: Read) -> None:
    with pytest.raises(ImportFileError, match=r"which metric are the numbers of this matrix \(x, y"):
        read_csv("model,x,y\na,1,2\n")
    with pytest.raises(ImportFileError, match="no column holds numbers"):
        read_csv("model,x\na,b\n", metric="acc")


def test_dataset_columns_are_one_however_their_accents_are_written(read_csv: Read) -> None:
    (result,) = read_csv("model,cafe\u0301\na,0.9\n", metric="acc").results
    assert result.dataset == "caf\u00e9"
