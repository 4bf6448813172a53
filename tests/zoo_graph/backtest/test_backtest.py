"""The backtest of a zoo in a store: its own results judge, and never leak."""

import json
from pathlib import Path

import numpy as np
import pytest

from selection.recall import Evidence
from zoo_graph.backtest.backtest import backtest
from zoo_graph.backtest.quality import Ranking, by_score
from zoo_graph.backtest.zoo_source import ZooSource
from zoo_graph.errors import InputError, UnknownNameError
from zoo_graph.ingest import import_file
from zoo_graph.link_evidence import NAME
from zoo_graph.link_prediction import nested, signal
from zoo_graph.link_prediction.training import Settings
from zoo_graph.snapshot import Snapshot, take
from zoo_graph.store import Connection
from zoo_graph.zoo import Zoo

MODELS, DATASETS = 7, ("a", "b", "c", "d", "copy")


@pytest.fixture
def zoo(embedded_store: Connection, tmp_path: Path) -> Connection:
    """7 models on 5 datasets, `copy` of the same texts as `d`; logme on two; a validation result on `a`."""
    generator = np.random.default_rng(0)
    scores = np.arange(MODELS)[:, None] / 10 + 0.05 * generator.random((MODELS, len(DATASETS)))
    rows = ["model,dataset,score,metric,split"]
    for m, row in enumerate(scores):
        rows += [f"acme/m{m},{d},{value:.4f},accuracy,test" for d, value in zip(DATASETS, row, strict=True)]
        rows.append(f"acme/m{m},a,{row[0] / 2:.4f},accuracy,validation")
    (tmp_path / "r.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "d.csv").write_text("dataset,features_digest\nd,x1\ncopy,x1\na,x2\n")
    proxies = [f"acme/m{m},{d},logme,{m},0.1,s,100" for m in range(MODELS) for d in "ab"]
    (tmp_path / "p.csv").write_text(
        "model,dataset,proxy,score,seconds,sample_digest,n_samples\n" + "\n".join(proxies) + "\n"
    )
    import_file(embedded_store, tmp_path / "r.csv", format="long")
    import_file(embedded_store, tmp_path / "d.csv", format="datasets")
    import_file(embedded_store, tmp_path / "p.csv", format="proxies")
    return embedded_store


def test_every_dataset_is_left_out_and_the_files_tell(zoo: Connection, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    found = backtest(zoo, tmp_path, evaluated=(0, 2), track=lambda done, of: told.append((done, of)))
    rankers = {"random", "history", "n_parameters", "metadata_ridge", "ours", "logme"}
    assert {r.target for r in found.records} == set(DATASETS)
    assert {r.ranker for r in found.records} == rankers
    assert told[-1] == (60, 60)
    assert not [r for r in found.records if r.state == "failed"]
    assert {r.target for r in found.records if r.ranker == "logme" and r.state == "judged"} == {"a", "b"}
    assert json.loads((tmp_path / "backtest/backtest.json").read_text())[1]["measure"].startswith("recall/zoo/cold/")
    assert "zoo, cold" in found.lines()[0]
    again = backtest(zoo, tmp_path, evaluated=(0, 2), track=lambda done, of: None)
    assert [r.seconds for r in again.records] == [r.seconds for r in found.records]


def test_a_cold_case_holds_nothing_of_the_target(zoo: Connection, tmp_path: Path) -> None:
    case = ZooSource(take(zoo, tmp_path), None, {}).case("a")
    assert case.evidence.measured is None
    assert case.evidence.datasets == ("b", "c", "copy", "d")
    assert list(case.evidence.proxies) == ["logme"]
    assert not np.isin(case.truth, case.evidence.scores).any()


def test_evaluating_tells_validation_and_test_judges(zoo: Connection, tmp_path: Path) -> None:
    case = ZooSource(take(zoo, tmp_path), None, {}).case("a")
    np.testing.assert_allclose(case.told, case.truth / 2, atol=1e-3)


def test_datasets_of_the_same_content_or_named_are_held_out(zoo: Connection, tmp_path: Path) -> None:
    snapshot = take(zoo, tmp_path)
    assert ZooSource(snapshot, None, {}).case("d").evidence.datasets == ("a", "b", "c")
    named = ZooSource(snapshot, None, {"d": ["b"]})
    assert named.case("d").evidence.datasets == ("a", "c")
    assert named.digest != ZooSource(snapshot, None, {}).digest == ZooSource(snapshot, ["a"], {}).digest


def test_distances_given_later_are_another_backtest(zoo: Connection, tmp_path: Path) -> None:
    before = ZooSource(take(zoo, tmp_path), None, {}).digest
    (tmp_path / "far.csv").write_text("dataset,other,distance\na,b,0.5\n")
    import_file(zoo, tmp_path / "far.csv", format="distances")
    assert ZooSource(take(zoo, tmp_path), None, {}).digest != before


def test_chosen_targets_and_rankers_only(zoo: Connection, tmp_path: Path) -> None:
    found = backtest(zoo, tmp_path, targets=["b"], only=["logme"])
    assert {(r.target, r.ranker) for r in found.records} == {("b", "history"), ("b", "logme")}
    with pytest.raises(UnknownNameError, match="target 'x'"):
        backtest(zoo, tmp_path, targets=["x"])
    with pytest.raises(UnknownNameError, match="ranker 'x'"):
        backtest(zoo, tmp_path, only=["x"])


def test_a_ranker_of_ones_own_stands_beside_history(zoo: Connection, tmp_path: Path) -> None:
    def backwards(evidence: Evidence, seed: int) -> Ranking:
        return by_score(-np.arange(len(evidence.candidates), dtype=float))

    found = backtest(zoo, tmp_path, rankers={"backwards": backwards})
    regret = {r.ranker: r.metrics["regret1"] for r in found.records if r.target == "a"}
    assert regret["history"] == 0.0
    assert regret["backwards"] > 1


def test_a_zoo_answers_for_itself(zoo: Connection, tmp_path: Path) -> None:
    found = Zoo(zoo, tmp_path).backtest(["a", "b"], only=["ours"], out=tmp_path / "here")
    assert {(r.target, r.ranker) for r in found.records} == {(t, r) for t in "ab" for r in ("ours", "history")}
    assert found.lines()[-1].startswith("cold, ours against history: ")
    assert {path.parent for path in found.files} == {tmp_path / "here"}


def test_an_unknown_dataset_cannot_be_held_out(zoo: Connection, tmp_path: Path) -> None:
    for names in ({"a": ["x"]}, {"x": ["a"]}):
        with pytest.raises(UnknownNameError, match="dataset 'x'"):
            backtest(zoo, tmp_path, hold_out=names)


def test_datasets_that_cannot_be_judged_are_told_with_the_reason(zoo: Connection, tmp_path: Path) -> None:
    rows = [f"acme/m{m},{d},0.9" for m in range(MODELS) for d in ("solved", "few") if d == "solved" or m < 3]
    (tmp_path / "more.csv").write_text("model,dataset,accuracy\n" + "\n".join(rows) + "\n")
    import_file(zoo, tmp_path / "more.csv")
    told = [
        "not judged: few (comparable results of fewer than 5 models)",
        "not judged: solved (half the models or more share the best result)",
    ]
    found = backtest(zoo, tmp_path, only="ours", out=str(tmp_path / "here"))
    assert {r.target for r in found.records} == set(DATASETS)
    assert [line for line in found.lines() if line.startswith("not judged")] == told
    assert {path.parent for path in found.files} == {tmp_path / "here"}
    with pytest.raises(InputError, match="got the dataset 'solved', by which no ranker can be judged: half the models"):
        backtest(zoo, tmp_path, targets="solved")
    with pytest.raises(UnknownNameError, match="no target 'nosuch'"):
        backtest(zoo, tmp_path, targets=["nosuch"])
    one = backtest(zoo, tmp_path, targets="a", only="history", hold_out={"a": "b"})
    assert {r.target for r in one.records} == {"a"}
    assert not one.notes


def test_a_zoo_without_a_judgeable_dataset_says_what_is_missing(embedded_store: Connection, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("model,x\nacme/a,0.9\nacme/b,0.7\n")
    import_file(embedded_store, tmp_path / "r.csv", metric="accuracy", format="wide")
    with pytest.raises(InputError, match="import or measure more"):
        backtest(embedded_store, tmp_path)


@pytest.fixture
def hasty(monkeypatch) -> None:
    """Three networks, each trained for a moment."""
    monkeypatch.setattr(signal, "SETTINGS", Settings(steps=8, checkpoints=2, episodes=2, width=8, learning_rate=0.1))
    monkeypatch.setattr(nested, "FOLDS", 3)
    monkeypatch.setattr(nested, "is_history", lambda _: False)


def test_link_prediction_is_ranked_by_alone_and_in_recall_where_asked_for(
    zoo: Connection, tmp_path: Path, hasty: None
) -> None:
    only = ["ours", "ours_links", "link_prediction"]
    told: list[tuple[int, int]] = []
    found = backtest(zoo, tmp_path, links=True, only=only, track=lambda done, of: told.append((done, of)))
    assert {r.ranker for r in found.records} == {"history", *only}
    assert {r.state for r in found.records} == {"judged"}
    assert told[-1] == (23, 23)  # 20 rankings and 3 networks
    assert found.lines()[-1].startswith("cold, ours_links against ours: ")
    measured = {one["measure"] for one in json.loads((tmp_path / "backtest/backtest.json").read_text())[1:]}
    assert "recall/zoo/cold/ours_links/regret1_minus_ours_p" in measured
    told.clear()
    again = backtest(zoo, tmp_path, links=True, only=only, track=lambda done, of: told.append((done, of)))
    assert told[-1] == (20, 20)
    assert {r.seconds for r in again.records} == {r.seconds for r in found.records}
    with pytest.raises(UnknownNameError, match="ranker 'ours_links'"):
        backtest(zoo, tmp_path, only=only)


def test_nothing_that_link_prediction_says_for_a_target_knows_its_results(
    zoo: Connection, tmp_path: Path, hasty: None
) -> None:
    before = take(zoo, tmp_path)
    rows = [
        f"acme/m{m},{d},{score / 10},accuracy,test"
        for m, score in enumerate([9, 2, 7, 0, 8, 1, 5])
        for d in ("d", "copy")
    ]
    (tmp_path / "more.csv").write_text("model,dataset,score,metric,split\n" + "\n".join(rows) + "\n")
    import_file(zoo, tmp_path / "more.csv", format="long")
    after = take(zoo, tmp_path)

    def known(snapshot: Snapshot, target: str, folder: str) -> Evidence:
        source = ZooSource(snapshot, None, {"b": ["a"]})
        return source.with_links(tmp_path / folder, 1, 0, "", lambda done, of: None).case(target).evidence

    for target in ("d", "copy"):
        first, second = known(before, target, "1"), known(after, target, "2")
        assert np.array_equal(first.proxies[NAME], second.proxies[NAME])
        assert np.array_equal(first.past_proxies[NAME], second.past_proxies[NAME])
    assert not np.array_equal(known(before, "a", "1").proxies[NAME], known(after, "a", "2").proxies[NAME])
