from collections.abc import Callable
from typing import Any

import pytest

from zoo_graph.errors import ImportFileError
from zoo_graph.records import Lineage

Read = Callable[..., Any]


def test_what_is_known_of_a_model_is_read(read_csv: Read) -> None:
    found = read_csv(
        "name;family;n_parameters;license;modalities;training_datasets;adapted_from;release_date;_rev;other\n"
        'org/m;bert;110M;mit;["text"];["mnli", "sst2"];org/base;2024-01-01;abc;x\n'
    )
    (model,) = found.models
    assert found.format == "models"
    assert (model.id, model.family, model.n_parameters, model.license) == ("org/m@abc", "bert", 110_000_000, "mit")
    assert (model.modality, model.pretrained_on, model.created) == ("text", ("mnli", "sst2"), "2024-01-01")
    assert model.derived_from == (Lineage("org/base", "finetune"),)
    assert any("left out 'other'" in note for note in found.notes)


def test_a_bare_id_is_a_model(read_csv: Read) -> None:
    (model,) = read_csv("id,license\na,\n", format="models").models
    assert (model.id, model.license) == ("a", None)


def test_lineage_has_its_kind(read_csv: Read) -> None:
    head = "id,base_model,kind\n"
    assert read_csv(head + "a,b,Truncated\n", format="models").models[0].derived_from == (Lineage("b", "truncated"),)
    assert read_csv("id,base_model\na,b\n", format="models", kind="merge").models[0].derived_from[0].kind == "merge"
    found = read_csv(head + "a,b,copied\n", format="models")
    assert found.rejected[0].rule.startswith("derived_from is one of finetune")
    assert [model.id for model in found.models] == ["a"]


def test_a_count_with_a_stated_unit_is_read(read_csv: Read) -> None:
    text = "id,param_count,family\na,305.08,vit\n"
    found = read_csv(text, columns={"n_parameters": "param_count:M", "model": "id"})
    assert found.models[0].n_parameters == 305_080_000
    assert any("has no unit" in note for note in read_csv(text, columns={"model": "id"}).notes)


def test_rows_without_id_and_bad_cells_are_rejected(read_csv: Read) -> None:
    found = read_csv("id,n_parameters,family\n,5M,x\na,many,x\n", format="models")
    assert [(row.line, row.column, row.value) for row in found.rejected] == [(2, "id", ""), (3, "n_parameters", "many")]
    assert (found.models[0].id, found.models[0].family) == ("a", "x")


def test_a_model_table_needs_an_id(read_csv: Read) -> None:
    with pytest.raises(ImportFileError, match="no column for model"):
        read_csv("family,license\nx,y\n", format="models")


def test_aliases_are_read(read_csv: Read) -> None:
    assert read_csv("id,aliases\na,b; c\n", format="models").models[0].aliases == ("b", "c")
