"""Proxies within a time, through `Zoo.recommend`: on whom they are run, and what the user is told of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import some_texts, tiny_bert

from selection.datasets import Dataset, from_rows
from zoo_graph.errors import InputError
from zoo_graph.ingest import ingest
from zoo_graph.records import Dataset as DatasetRecord
from zoo_graph.records import Model, Proxy, Result, Run
from zoo_graph.store import Connection
from zoo_graph.zoo import Zoo

DATASETS = [f"d{number}" for number in range(6)]
WITH_WEIGHTS = ["acme/a", "acme/b", "acme/far"]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints")
    for seed, model in enumerate(WITH_WEIGHTS):
        tiny_bert(folder / model.rpartition("/")[2], seed=seed, layers=1)
    return folder


@pytest.fixture
def zoo(embedded_store: Connection, tmp_path: Path, checkpoints: Path) -> Zoo:
    """Ten models on six datasets; a and b lead together, far is last. Past proxies are pure noise."""
    generator = np.random.default_rng(0)
    others = [f"other/m{number}" for number in range(7)]
    level = {"acme/a": 0.9, "acme/b": 0.89, "acme/far": 0.1} | {
        model: 0.4 + 0.04 * number for number, model in enumerate(others)
    }
    models = [Model(model, modality="text", source=str(checkpoints / model[5:])) for model in WITH_WEIGHTS]
    records: list[Any] = [
        *models,
        *(Model(model, modality="text") for model in others),
        *(DatasetRecord(name, modality="text") for name in DATASETS),
        *(
            Result(model, name, "accuracy", score, score, "fraction", split="test", method="full")
            for model, base in level.items()
            for name in DATASETS
            for score in [float(np.clip(base + generator.normal(scale=0.02), 0, 1))]
        ),
    ]
    ingest(embedded_store, records, Run.begun("import", "0", {}))
    return Zoo(embedded_store, tmp_path / "zoo")


def teach_noise(zoo: Zoo) -> None:
    """Proxies of the past that tell nothing of the results."""
    generator = np.random.default_rng(1)
    models = zoo.query("MATCH (m:Model) RETURN m.id AS id ORDER BY id")
    proxies = [
        Proxy(row["id"], name, "logme", float(generator.normal()), 0.1, "s", 100) for row in models for name in DATASETS
    ]
    ingest(zoo.connection, proxies, Run.begun("import", "1", {}))


def films() -> Dataset:
    rows, labels = some_texts(40)
    return from_rows("films", "text", rows, labels)


def note(notes: tuple[str, ...]) -> str:
    (found,) = [text for text in notes if text.startswith("proxies were computed")]
    return found


def test_within_a_time_those_far_from_the_picks_are_left_out_and_the_note_says_so(zoo: Zoo) -> None:
    found = zoo.recommend(films(), k=1, proxy_seconds=60)
    said = note(found.notes)
    assert said.startswith("proxies were computed for 2 of 3 models whose weights are known, in ")
    assert " of 60 seconds, by expected gain per second; 1 were not begun: " in said
    assert {pick.model for pick in found.picks} <= {"acme/a", "acme/b"}


def test_without_a_time_all_are_probed_and_gain_may_be_asked_for_all_the_same(zoo: Zoo) -> None:
    notes = zoo.recommend(films(), k=1).notes
    assert any(text.startswith("proxies were computed for 3 of 10 models") for text in notes)
    said = note(zoo.recommend(films(), k=1, proxy_policy="gain").notes)
    assert "2 of 3 models" in said
    assert said.endswith("1 were not begun: no change of the picks was expected of them")


def test_a_time_too_short_leaves_the_ranking_to_history(zoo: Zoo) -> None:
    found = zoo.recommend(films(), k=2, proxy_seconds=1e-6)
    assert "computed for 0 of 3 models" in note(found.notes)
    assert not any("could not be opened" in text or "no proxy could be" in text for text in found.notes)
    assert [pick.model for pick in found.picks] == [
        pick.model for pick in zoo.recommend(films(), k=2, proxies=False).picks
    ]


def test_where_past_proxies_told_nothing_none_is_run(zoo: Zoo) -> None:
    teach_noise(zoo)
    said = note(zoo.recommend(films(), k=1, proxies=["logme"], proxy_seconds=60).notes)
    assert "computed for 0 of 3 models" in said
    assert said.endswith("proxies did not tell more than is known of these models already")


def test_representatives_are_one_of_each_community(zoo: Zoo) -> None:
    with pytest.raises(InputError, match="no communities: refresh it first"):
        zoo.recommend(films(), proxy_policy="representatives")
    merge = (
        "MATCH (m:Model) WHERE m.id STARTS WITH 'acme/' "
        "MERGE (c:Community {id: CASE m.id WHEN 'acme/far' THEN 'two' ELSE 'one' END}) CREATE (m)-[:IN]->(c)"
    )
    zoo.connection.write(lambda transaction: transaction.run(merge))
    said = note(zoo.recommend(films(), k=1, proxy_policy="representatives").notes)
    assert "computed for 2 of 3 models" in said
    assert said.endswith("the communities' representatives only; 1 were not begun: another model stands for them")


def test_a_time_that_is_none_is_refused(zoo: Zoo) -> None:
    from selection.errors import InputError as SelectionInputError

    with pytest.raises(SelectionInputError, match="wanted a positive number"):
        zoo.recommend(films(), proxy_seconds=-1)


@pytest.mark.parametrize("options", [{"proxies": False}, {"dataset": "d0"}])
def test_a_time_for_proxies_that_are_not_run_is_refused(zoo: Zoo, options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="where none is computed"):
        zoo.recommend(**{"dataset": films(), "proxy_seconds": 5.0} | options)
