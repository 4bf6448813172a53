"""The backtest of a zoo in a store: its own results judge, and never leak."""

import json
from pathlib import Path

import numpy as np
import pytest

from selection.recall import Evidence
from zoo_graph.backtest.backtest import ZooSource, backtest
from zoo_graph.backtest.quality import Ranking, by_score
from zoo_graph.errors import InputError, UnknownNameError
from zoo_graph.ingest import import_file
from zoo_graph.snapshot import take
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


def test_a_zoo_without_a_judgeable_dataset_says_what_is_missing(embedded_store: Connection, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("model,x\nacme/a,0.9\nacme/b,0.7\n")
    import_file(embedded_store, tmp_path / "r.csv", metric="accuracy", format="wide")
    with pytest.raises(InputError, match="import or measure more"):
        backtest(embedded_store, tmp_path)
