"""`Zoo` through Python, on the embedded store and tiny checkpoints."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import networkx as nx
import pytest
from tiny import broken, image_processor, made, save, some_texts, tiny_bert

from selection import hub
from selection.datasets import Dataset, Limits, from_rows
from selection.errors import CheckpointError, SelectionError
from selection.records import Candidate, Failure, Measurement, Recipe
from zoo_graph.errors import InputError
from zoo_graph.ingest import ingest
from zoo_graph.records import Dataset as DatasetRecord
from zoo_graph.records import Model, Result, Run
from zoo_graph.refresh import refresh
from zoo_graph.store import Connection
from zoo_graph.zoo import Zoo

RECIPE = Recipe(learning_rate=1e-3, head_learning_rate=1e-2, batch_size=8, total_steps=6, warmup_steps=2, max_length=16)
RUN = Run.begun("import", "0", {})


@pytest.fixture
def zoo(embedded_store: Connection, tmp_path: Path) -> Zoo:
    return Zoo(embedded_store, tmp_path / "zoo")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `one` and `two` that open, `torn` that does not, and `picture`, which reads images."""
    from transformers import ViTConfig, ViTModel

    folder = tmp_path_factory.mktemp("checkpoints")
    tiny_bert(folder / "one", layers=1)
    tiny_bert(folder / "two", seed=1, layers=1)
    broken(folder / "torn")
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=16
    )
    save(folder / "picture", made(lambda: ViTModel(config)), image_processor())
    return folder


def films(n: int = 40, name: str = "films", **limits: int) -> Dataset:
    rows, labels = some_texts(n)
    return from_rows(name, "text", rows, labels, limits=Limits(**limits))


def weather(name: str = "films") -> Dataset:
    """Another dataset: three classes."""
    rows, _ = some_texts(42)
    return from_rows(name, "text", rows, ["rain", "sun", "snow"] * 14)


def result(model: str, dataset: str, score: float) -> Result:
    return Result(model, dataset, "accuracy", score, score, "fraction", split="test", method="full")


def test_a_selection_tells_the_graph_of_its_dataset_and_another_of_that_name_is_refused(
    zoo: Zoo, checkpoints: Path
) -> None:
    one = Candidate("local/one", str(checkpoints / "one"), "text")
    zoo.select(films(), [one], recipe=RECIPE, eval_points=2)
    ask = (
        "MATCH (m:Model)-[:MEASURED {split: 'test'}]->(d:Dataset) RETURN d.id AS id, d.n_classes AS n_classes, "
        "d.n_samples AS n_samples, d.modality AS modality, d.task AS task, d.labels_digest AS digest, "
        "m.source AS source, size(d.embedding) AS width, d.embedding_by AS embedding_by"
    )
    assert zoo.connection.read(ask) == [
        {
            "id": "films", "n_classes": 2, "n_samples": 40, "modality": "text", "task": "classification",
            "digest": films().labels_digest, "source": str(checkpoints / "one"), "width": 256,
            "embedding_by": "hashed n-grams 1",
        }
    ]  # fmt: skip
    told = r"'films' of 3 classes and 42 rows; the zoo knows another .* 2 classes and 40 rows .*--name"
    for refused in (weather(), weather("Films")):
        with pytest.raises(InputError, match=told.replace("films", refused.name)):
            zoo.recommend(refused)
        with pytest.raises(InputError, match="--name"):
            zoo.select(refused, [one], recipe=RECIPE)
        with pytest.raises(InputError, match="--name"):
            list(zoo.measure([refused], [one], recipe=RECIPE))
    assert zoo.recommend(films(train=20)).picks[0].reasons[0].startswith("measured on your data")
    assert "measured on your data" not in str(zoo.recommend(weather("weather")).picks)


def test_a_recorded_selection_is_refused_too_when_its_plan_is_given(zoo: Zoo, checkpoints: Path) -> None:
    made_plan = zoo.plan(weather(), [Candidate("local/one", str(checkpoints / "one"), "text")], recipe=RECIPE)
    ingest(zoo.connection, [DatasetRecord("films", labels_digest="another")], RUN)
    with pytest.raises(InputError, match="--name"):
        zoo.select(weather(), plan=made_plan)


def test_a_plan_of_no_candidates_is_refused_with_what_was_wanted(zoo: Zoo) -> None:
    with pytest.raises(InputError, match="got no candidates to plan for; wanted picks of recommend"):
        zoo.plan(films(), [])


def test_a_dataset_that_the_graph_knows_by_name_only_is_taken_at_its_word(zoo: Zoo, checkpoints: Path) -> None:
    known = [DatasetRecord("films", n_classes=9), Model("acme/a", modality="text"), result("acme/a", "films", 0.9)]
    ingest(zoo.connection, known, RUN)
    reasons = {pick.model: pick.reasons for pick in zoo.recommend(films(), models=[checkpoints / "one"])}
    assert reasons["acme/a"][0] == "measured on your data: accuracy 0.9"


def test_two_datasets_of_one_name_are_not_measured_as_one(zoo: Zoo, checkpoints: Path) -> None:
    with pytest.raises(InputError, match="this call names another dataset of that name"):
        list(zoo.measure([films(), weather()], [checkpoints / "one"], recipe=RECIPE))


def test_a_folder_is_not_taken_for_another_of_its_name(zoo: Zoo, checkpoints: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "race1" / "best", tmp_path / "race2" / "best"
    shutil.copytree(checkpoints / "one", first)
    shutil.copytree(checkpoints / "two", second)
    ingest(zoo.connection, [Model("local/best", modality="text", source=str(first))], RUN)
    found = zoo.recommend(films(), models=[second, checkpoints / "one"])
    assert [(failure.model, "rename the folder" in failure.reason) for failure in found.failures] == [
        ("local/best", True)
    ]
    assert {pick.candidate.source for pick in found} == {str(first), str(checkpoints / "one")}
    candidates, failures = zoo.candidates([str(second)])
    assert (candidates, len(failures)) == ([], 1)
    both = [Candidate("local/best", str(second)), Candidate("local/one", str(checkpoints / "one"))]
    left_out = zoo.plan(films(), both, recipe=RECIPE).failures
    assert [failure.model for failure in left_out] == ["local/best"]
    (failure, *_) = zoo.measure([films()], [second, checkpoints / "one"], recipe=RECIPE, hours=0)
    assert isinstance(failure, Failure)
    assert "rename the folder" in failure.reason
    linked = tmp_path / "winner2"
    os.symlink(second, linked)
    assert {"local/best", "local/winner2"} <= {pick.model for pick in zoo.recommend(films(), models=[linked])}
    shutil.rmtree(first)  # the model has moved
    assert zoo.recommend(films(), models=[second]).failures == ()


def test_what_cannot_be_opened_is_left_out_or_comes_last_with_its_results(zoo: Zoo, checkpoints: Path) -> None:
    records = [Model("acme/good", modality="text", source=str(checkpoints / "torn")), result("acme/good", "x", 0.99)]
    records += [Model("acme/bad", modality="text", source=str(checkpoints / "torn"))]
    records += [result("acme/other", dataset, score) for dataset, score in (("x", 0.5), ("y", 0.6))]
    ingest(zoo.connection, [*records, Model("acme/other", modality="text")], RUN)
    found = zoo.recommend(films(), models=[checkpoints / "torn", checkpoints / "one"])
    assert [pick.model for pick in found][-1] == "acme/good"
    assert {pick.model for pick in found} == {"local/one", "acme/other", "acme/good"}
    assert found.picks[-1].reasons[0].startswith("could not be opened here: ")
    assert found.picks[-1].tie == max(pick.tie for pick in found.picks[:-1]) + 1
    assert [failure.model for failure in found.failures] == ["local/torn"]
    assert "2 of 5 models are left out: they cannot be opened here and have no results" in found.notes
    held = zoo.recommend(films(), models=[checkpoints / "one"], hold_out=["x"])
    assert {pick.model for pick in held} == {"local/one", "acme/other"}


def test_models_given_by_hand_that_fail_are_named_and_the_rest_goes_on(zoo: Zoo, checkpoints: Path) -> None:
    found = zoo.recommend(films(), models=["nofolder", checkpoints / "torn", checkpoints / "one"])
    assert [pick.model for pick in found] == ["local/one"]
    assert [failure.model for failure in found.failures] == ["local/nofolder", "local/torn"]
    assert sum("nofolder" in note for note in found.notes) == sum("local/torn" in note for note in found.notes) == 1
    with pytest.raises(InputError, match="none of those given can be used: local/nofolder: no checkpoint folder"):
        zoo.recommend(films(), models=["nofolder"])
    with pytest.raises(InputError, match=r"none of 1 models can be opened here.*local/torn: "):
        zoo.recommend(films(), models=[checkpoints / "torn"])
    candidates, failures = zoo.candidates(["nofolder", str(checkpoints / "one")])
    assert [one.model for one in candidates] == ["local/one"]
    assert [failure.model for failure in failures] == ["nofolder"]


def test_probing_tells_the_modality_and_size_of_a_hub_id_given_by_hand(
    zoo: Zoo, checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from selection.recall import Constraints

    folders = {"org/text": checkpoints / "one", "org/image": checkpoints / "picture"}
    monkeypatch.setattr(hub, "download", lambda source, **options: folders[source])
    found = zoo.recommend(films(), models=list(folders), constraints=Constraints(max_parameters=10**6))
    assert [(pick.model, pick.candidate.modality) for pick in found] == [("org/text", "text")]
    assert "reads image" in found.failures[0].reason
    small = zoo.recommend(films(), models=["org/text"], constraints=Constraints(max_parameters=10))
    assert small.picks == ()
    assert "n_parameters" in small.excluded[0].rule


def test_a_model_trained_on_the_data_is_not_probed_where_it_may_not_be_picked(zoo: Zoo, checkpoints: Path) -> None:
    from selection.recall import Constraints

    ingest(zoo.connection, [Model("local/one", pretrained_on=("Films",))], RUN)
    given = [checkpoints / "one", checkpoints / "two"]
    marked = {pick.model: pick.reasons[0] for pick in zoo.recommend(films(), models=given)}
    assert marked["local/one"] == "pretrained on Films: its score there may be inflated"
    probed: list[str] = []
    found = zoo.recommend(
        films(),
        models=given,
        constraints=Constraints(exclude_pretrained=True),
        track=lambda candidates: [probed.append(one.model) or one for one in candidates],
    )
    assert [pick.model for pick in found] == ["local/two"]
    assert probed == ["local/two"]


def test_runs_that_the_hours_left_no_time_for_are_told_each(zoo: Zoo, checkpoints: Path) -> None:
    given = [checkpoints / "one", checkpoints / "two"]
    found = list(zoo.measure([films()], given, recipe=RECIPE, seeds=(0, 1), hours=0))
    assert [(one.model, one.dataset, one.seed) for one in found if isinstance(one, Failure)] == [
        ("local/one", "films", 0), ("local/two", "films", 0), ("local/one", "films", 1), ("local/two", "films", 1),
    ]  # fmt: skip
    assert not [one for one in found if isinstance(one, Measurement)]
    with pytest.raises(Exception, match="got no seed"):
        list(zoo.measure([films()], given, recipe=RECIPE, seeds=()))


def test_each_dataset_is_measured_by_its_own_recipe_and_the_run_counts_all(zoo: Zoo, checkpoints: Path) -> None:
    steps = {"films": 2, "plays": 3}
    given = [checkpoints / "one", checkpoints / "picture"]
    datasets = [films(), films(60, name="plays")]
    found = list(zoo.measure(datasets, given, recipe=lambda data: replace(RECIPE, total_steps=steps[data.name])))
    assert [(one.model, one.dataset, one.recipe.total_steps) for one in found if isinstance(one, Measurement)] == [
        ("local/one", "films", 2), ("local/one", "plays", 3),
    ]  # fmt: skip
    assert len(found) == 2  # texts are not tried on a model of images
    (run,) = [run for run in zoo.status()["runs"] if run["kind"] == "measure"]
    assert json.loads(run["counts"])["results"] == 2
    with pytest.raises(InputError, match="image"):
        list(zoo.measure([films(name="never")], [checkpoints / "picture"], recipe=RECIPE))
    assert not zoo.holds_dataset("never")


def test_without_proxies_those_that_the_graph_holds_do_not_count_either(zoo: Zoo, checkpoints: Path) -> None:
    list(zoo.measure([films()], [checkpoints / "one", checkpoints / "two"], recipe=RECIPE))
    with_proxies = zoo.recommend("films")
    assert any(reason.startswith("on your data: ") for pick in with_proxies for reason in pick.reasons)
    without = zoo.recommend("films", proxies=False)
    assert not any(reason.startswith("on your data: ") for pick in without for reason in pick.reasons)


def test_models_that_do_not_say_what_they_read_are_ranked_for_any_data(zoo: Zoo) -> None:
    ingest(zoo.connection, [result("acme/a", "x", 0.9), result("acme/b", "x", 0.8)], RUN)
    ingest(zoo.connection, [Model("acme/c", modality="image")], RUN)
    found = zoo.recommend(films())
    assert [pick.model for pick in found] == ["acme/a", "acme/b"]
    assert "2 of 3 models do not say what they read: taken for text models" in found.notes


def test_a_dataset_in_another_case_is_no_source_for_itself(zoo: Zoo) -> None:
    ingest(zoo.connection, [result("acme/a", "Films", 0.9), result("acme/b", "Films", 0.8)], RUN)
    ingest(zoo.connection, [result("acme/a", "x", 0.1), result("acme/b", "x", 0.8)], RUN)
    found = zoo.recommend(films())
    assert all("over 1 dataset" in reason for pick in found for reason in pick.reasons if "mean z" in reason)
    assert zoo.recommend("FILMS").picks[0].reasons[0].startswith("measured on your data")
    with pytest.raises(InputError, match="Films"):
        zoo.recommend(films(), hold_out=["fillms"])


def test_proxies_that_ran_out_of_time_leave_a_ranking_by_size_and_say_so(zoo: Zoo, checkpoints: Path) -> None:
    held = [Model(f"acme/{name}", modality="text", source=str(checkpoints / name)) for name in ("one", "two")]
    ingest(zoo.connection, held, RUN)
    found = zoo.recommend(films(), proxy_seconds=1e-9)
    assert {pick.model for pick in found} == {"acme/one", "acme/two"}
    assert all(pick.candidate.n_parameters for pick in found)
    notes = " ".join(found.notes)
    assert "ranked by n_parameters alone" in notes
    assert "proxies were computed for 0 of 2 models" in notes
    assert "2 were not begun: their expected seconds did not fit" in notes


def test_nothing_to_rank_by_because_the_proxies_time_ran_out_is_told(zoo: Zoo) -> None:
    ingest(zoo.connection, [Model(f"acme/{n}", modality="text", source=f"acme/{n}") for n in "ab"], RUN)
    with pytest.raises(
        InputError, match=r"got 2 candidates without any result.*0 of 2 models.*seconds did not fit.*time"
    ):
        zoo.recommend(films(), proxy_seconds=1e-9)


def test_the_size_of_a_model_that_only_its_files_tell_counts(zoo: Zoo, checkpoints: Path) -> None:
    from selection.recall import Constraints

    ingest(zoo.connection, [Model("acme/one", modality="text", source=str(checkpoints / "one"))], RUN)
    found = zoo.recommend(films(), proxies=False, constraints=Constraints(max_parameters=10**7))
    assert [pick.model for pick in found] == ["acme/one"]
    assert zoo.recommend(films(), proxies=False, constraints=Constraints(max_parameters=10)).picks == ()


@pytest.mark.parametrize(
    ("proxies", "told"),
    [
        (["nosuch"], "got the proxy 'nosuch'; wanted some of leep, "),
        ("logmi", "got the proxy 'logmi'; wanted some of leep, .*: did you mean 'logme'"),
        ([], "got no name of a proxy; wanted some of leep, .*False for none"),
    ],
)
def test_proxies_that_there_are_none_of_are_refused_whatever_the_zoo_holds(
    zoo: Zoo, proxies: str | list[str], told: str
) -> None:
    ingest(zoo.connection, [result("acme/a", "x", 0.9)], RUN)
    for dataset in (films(), "x"):
        with pytest.raises(InputError, match=told):
            zoo.recommend(dataset, proxies=proxies)


def test_one_name_by_itself_is_one_name(zoo: Zoo, checkpoints: Path) -> None:
    ingest(zoo.connection, [result("acme/a", "imdb", 0.9), result("acme/a", "x", 0.9)], RUN)
    found = zoo.recommend(films(), proxies="logme", models=checkpoints / "one", hold_out="imdb")
    assert {pick.model for pick in found} == {"acme/a", "local/one"}
    assert "proxies were computed for 1 of 2 models" in " ".join(found.notes)
    assert zoo.recommend(films(), models=str(checkpoints / "one"), proxies=False).failures == ()
    with pytest.raises(InputError, match=r"no dataset 'imbd'.*imdb"):
        zoo.recommend(films(), hold_out="imbd")


def test_arguments_that_make_no_sense_are_refused_with_what_was_wanted(zoo: Zoo) -> None:
    ingest(zoo.connection, [result("acme/a", "x", 0.9)], RUN)
    with pytest.raises(InputError, match=r"got k=2.5; wanted a whole number"):
        zoo.recommend("x", k=2.5)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"got the proxy policy 'x'; wanted one of gain, representatives, all"):
        zoo.recommend(films(), proxy_policy="x")  # type: ignore[arg-type]


def test_models_that_cannot_be_opened_and_have_no_results_are_named_with_their_reasons(
    zoo: Zoo, checkpoints: Path
) -> None:
    held = [Model(f"acme/{n}", modality="text", source=str(checkpoints / "torn")) for n in range(7)]
    ingest(zoo.connection, held, RUN)
    with pytest.raises(InputError, match=r"none of 7 models can be opened here.*: acme/0: .+; acme/4: .+; and 2 more$"):
        zoo.recommend(films())


def test_a_race_goes_on_only_among_the_candidates_that_it_began_with(
    zoo: Zoo, checkpoints: Path, tmp_path: Path
) -> None:
    candidates, _ = zoo.candidates([str(checkpoints / "one"), str(checkpoints / "torn")])
    zoo.select(films(), candidates, folder=tmp_path / "race", recipe=RECIPE)
    again = zoo.select(films(), candidates, folder=tmp_path / "race", recipe=RECIPE)
    assert again.best.candidate.model == "local/one"
    more, _ = zoo.candidates([str(checkpoints / name) for name in ("one", "two")])
    with pytest.raises(InputError, match="holds a race among local/one"):
        zoo.select(films(), more, folder=tmp_path / "race", recipe=RECIPE)


def test_a_race_at_another_price_is_another_race(zoo: Zoo, checkpoints: Path, tmp_path: Path) -> None:
    candidates, _ = zoo.candidates([str(checkpoints / "one")])
    zoo.select(films(), candidates, folder=tmp_path / "race", recipe=RECIPE)
    with pytest.raises(InputError, match=r"got the price 0.0; .* holds a race at 0.005"):
        zoo.select(films(), candidates, folder=tmp_path / "race", recipe=RECIPE, price=0.0)
    folders = [zoo.selection_folder(films(), candidates, RECIPE, price=price) for price in (0.0, 0.005)]
    assert folders[0] != folders[1]
    again = zoo.selection_folder(films(), candidates, RECIPE, "brute_force", price=0.0)
    assert again == zoo.selection_folder(films(), candidates, RECIPE, "brute_force")


def test_a_hub_id_that_cannot_be_opened_and_is_close_to_a_known_model_says_so(
    zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: str, **options: object) -> Path:
        raise CheckpointError(f"{source}: no such repository")

    monkeypatch.setattr(hub, "download", refuse)
    ingest(zoo.connection, [Model("acme/bert-base")], RUN)
    candidates, _ = zoo.candidates(["acme/bert-bse"])
    with pytest.raises(SelectionError, match="the zoo holds acme/bert-base: did you mean that"):
        zoo.plan(films(), candidates, recipe=RECIPE)


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
