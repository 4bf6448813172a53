"""What recall is told of the graph: nothing of the target among the sources, everything else in its place."""

from pathlib import Path

import numpy as np
import pytest

from selection.records import Candidate, ProxyScore
from zoo_graph.evidence import candidates_of, evidence
from zoo_graph.ingest import import_file
from zoo_graph.records import Dataset
from zoo_graph.snapshot import Snapshot, take
from zoo_graph.store import Connection


@pytest.fixture
def snapshot(embedded_store: Connection, tmp_path: Path) -> Snapshot:
    (tmp_path / "m.csv").write_text(
        "model,n_parameters,license,modality,source\nacme/a,10000000,mit,text,a-folder\nacme/b,20000000,,text,\n"
    )
    (tmp_path / "r.csv").write_text("model,x,y,z\nacme/a,0.9,0.5,0.2\nacme/b,0.7,0.6,\n")
    (tmp_path / "p.csv").write_text(
        "model,dataset,proxy,score,seconds,sample_digest,n_samples\n"
        "acme/a,x,logme,1.5,0.1,s,100\nacme/b,x,logme,0.5,0.1,s,100\nacme/a,z,logme,9,0.1,s,100\n"
    )
    import_file(embedded_store, tmp_path / "m.csv", format="models")
    import_file(embedded_store, tmp_path / "r.csv", metric="accuracy", format="wide")
    import_file(embedded_store, tmp_path / "p.csv", format="proxies")
    return take(embedded_store, tmp_path)


def test_candidates_carry_what_constraints_ask_for(snapshot: Snapshot, tmp_path: Path) -> None:
    (tmp_path / "a-folder").mkdir()
    a, b = candidates_of(snapshot, tmp_path)
    assert a == Candidate("acme/a", str(tmp_path / "a-folder"), "text", 10_000_000, "mit", None)
    assert (b.source, b.license) == (None, None)


def test_a_source_that_is_no_folder_there_stays_as_it_is(snapshot: Snapshot, tmp_path: Path) -> None:
    assert candidates_of(snapshot, tmp_path)[0].source == "a-folder"


def test_results_on_the_target_are_measured_and_never_a_source(snapshot: Snapshot) -> None:
    found = evidence(snapshot, candidates_of(snapshot), target="z", proxies={})
    assert found.datasets == ("x", "y")
    assert found.measured is not None
    np.testing.assert_array_equal(found.measured, [0.2, np.nan])
    np.testing.assert_array_equal(found.scores, [[0.9, 0.5], [0.7, 0.6]])
    assert "z" not in found.datasets
    np.testing.assert_array_equal(found.past_proxies["logme"], [[1.5, np.nan], [0.5, np.nan]])
    np.testing.assert_array_equal(found.proxies["logme"], [9, np.nan])


def test_a_dataset_held_out_gives_nothing(snapshot: Snapshot) -> None:
    found = evidence(snapshot, candidates_of(snapshot), target="new", proxies={}, hold_out=["x", "unheard of"])
    assert found.datasets == ("y", "z")
    assert found.past_proxies["logme"].shape == (2, 2)
    assert np.nanmax(found.past_proxies["logme"]) == 9  # the one on z; those on x are gone


def test_fresh_proxies_stand_before_those_the_graph_holds(snapshot: Snapshot) -> None:
    fresh = {
        "acme/b": [ProxyScore("logme", 3.0, 0.1, 50, "t"), ProxyScore("leep", float("nan"), 0.0, 50, "t", "no head")]
    }
    found = evidence(snapshot, candidates_of(snapshot), target="z", proxies=fresh)
    np.testing.assert_array_equal(found.proxies["logme"], [np.nan, 3.0])
    assert "leep" not in found.proxies


def test_a_candidate_without_results_has_a_row_of_nan(snapshot: Snapshot) -> None:
    candidates = (*candidates_of(snapshot), Candidate("mine/new"))
    found = evidence(snapshot, candidates, target="new", proxies={})
    assert np.isnan(found.scores[2]).all()
    assert found.metric == "accuracy"


def test_results_of_others_on_the_target_are_no_results_of_the_candidates(snapshot: Snapshot) -> None:
    (b,) = (one for one in candidates_of(snapshot) if one.model == "acme/b")
    assert evidence(snapshot, [b], target="z", proxies={}).measured is None


def test_the_unit_is_the_targets_own_or_else_the_commonest(
    snapshot: Snapshot, embedded_store: Connection, tmp_path: Path
) -> None:
    (tmp_path / "f.csv").write_text("model,a,b\nacme/a,0.3,0.4\nacme/b,0.2,0.1\n")
    import_file(embedded_store, tmp_path / "f.csv", metric="macro_f1", format="wide")
    both = take(embedded_store, tmp_path)
    candidates = candidates_of(both)
    assert evidence(both, candidates, target="a", proxies={}).metric == "macro_f1"
    assert evidence(both, candidates, target="z", proxies={}).metric == "accuracy"
    assert evidence(both, candidates, target="new", proxies={}).metric == "accuracy"  # of three datasets out of five
    assert evidence(both, candidates, target="new", proxies={}, hold_out=["x", "y"]).metric == "macro_f1"


def test_datasets_are_compared_in_the_order_of_the_sources_with_the_target_last(
    snapshot: Snapshot, embedded_store: Connection, tmp_path: Path
) -> None:
    (tmp_path / "d.csv").write_text("dataset,n_classes,tags\nx,2,language:fra\ny,20,language:deu\nz,2,language:fra\n")
    import_file(embedded_store, tmp_path / "d.csv", format="datasets")
    told = take(embedded_store, tmp_path)
    known = evidence(told, candidates_of(told), target="y", proxies={}).similarity
    np.testing.assert_allclose(known["tags language"], [[1, 1, 0], [1, 1, 0], [0, 0, 1]], atol=1e-12)  # x, z, y
    assert known["n_classes"][0, 1] == 1 > known["n_classes"][0, 2]
    assert evidence(told, candidates_of(told), target="y", proxies={}, hold_out=["x"]).similarity["name"].shape == (
        2,
        2,
    )


def test_a_new_target_is_compared_by_what_is_told_of_it(snapshot: Snapshot) -> None:
    new = Dataset("x-2", task="sentiment", n_classes=3)
    found = evidence(snapshot, candidates_of(snapshot), target="x-2", proxies={}, about=new)
    assert found.similarity["name"].shape == (4, 4)
    assert found.similarity["name"][0, 3] > 0 == found.similarity["name"][1, 3]
    assert "task" not in found.similarity  # known of nothing to compare with


def test_a_new_target_is_compared_by_its_embedding(
    snapshot: Snapshot, embedded_store: Connection, tmp_path: Path
) -> None:
    (tmp_path / "d.csv").write_text('dataset,embedding,embedding_by\nx,"[1,0]",e\ny,"[0,1]",e\nz,"[9,9]",other\n')
    import_file(embedded_store, tmp_path / "d.csv", format="datasets")
    told = take(embedded_store, tmp_path)
    new = Dataset("new", embedding=(0.9, 0.0), embedding_by="e")
    found = evidence(told, candidates_of(told), target="new", proxies={}, about=new).similarity["embedding e"]
    assert found[3, 0] > 0 > found[3, 1]
    assert np.isnan(found[3, 2])
    about = Dataset("z", embedding=(1.0, 0.0), embedding_by="e")
    known = evidence(told, candidates_of(told), target="z", proxies={}, about=about)
    assert np.isnan(known.similarity["embedding e"][-1]).all()  # the graph's embedding stands, by another encoder


def test_the_graphs_word_on_the_target_stands_before_what_is_told_now(
    snapshot: Snapshot, embedded_store: Connection, tmp_path: Path
) -> None:
    (tmp_path / "d.csv").write_text("dataset,n_classes,n_samples\nx,2,100\ny,20,900\nz,2,\n")
    import_file(embedded_store, tmp_path / "d.csv", format="datasets")
    told = take(embedded_store, tmp_path)
    about = Dataset("z", n_classes=20, n_samples=900)
    found = evidence(told, candidates_of(told), target="z", proxies={}, about=about).similarity
    assert found["n_classes"][2, 0] == 1 > found["n_classes"][2, 1]
    assert found["n_samples"][2, 1] == 1 > found["n_samples"][2, 0]


def test_seconds_are_medians_in_terms_of_what_a_dataset_usually_takes(
    embedded_store: Connection, tmp_path: Path
) -> None:
    rows = ["a,x,0.5,10", "b,x,0.6,20", "c,x,0.7,30", "a,y,0.5,100", "b,y,0.6,200", "c,y,0.7,", "d,z,0.1,"]
    (tmp_path / "r.csv").write_text("model,dataset,accuracy,seconds\n" + "\n".join(rows) + "\n")
    import_file(embedded_store, tmp_path / "r.csv", metric="accuracy", columns={"score": "accuracy"})
    told = take(embedded_store, tmp_path)
    found = evidence(told, candidates_of(told), target="new", proxies={})
    # Of their datasets' medians of 20 and 150: a takes 1/2 and 2/3, b 1 and 4/3, c 3/2; a usual dataset takes 85.
    np.testing.assert_allclose(found.seconds, [*(85 * np.array([7 / 12, 7 / 6, 3 / 2])), np.nan])


def test_run_times_on_the_target_and_on_what_is_held_out_tell_nothing_of_seconds(
    embedded_store: Connection, tmp_path: Path
) -> None:
    rows = ["a,x,0.5,10", "b,x,0.6,30", "a,y,0.5,300", "b,y,0.6,100", "a,z,0.5,9000", "b,z,0.5,1", "c,z,0.5,1"]
    (tmp_path / "r.csv").write_text("model,dataset,accuracy,seconds\n" + "\n".join(rows) + "\n")
    import_file(embedded_store, tmp_path / "r.csv", metric="accuracy", columns={"score": "accuracy"})
    told = take(embedded_store, tmp_path)
    pool = candidates_of(told)
    found = evidence(told, pool, target="z", proxies={}, hold_out=["y"]).seconds
    np.testing.assert_allclose(found, [10, 30, np.nan])
    np.testing.assert_allclose(evidence(told, pool, target="z", proxies={}, hold_out=["z", "y"]).seconds, found)
    assert evidence(told, pool, target="z", proxies={}, hold_out=["x", "y"]).seconds is None


def test_only_datasets_of_the_same_metric_tell_the_level_of_a_score(embedded_store: Connection, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("model,x,y\na,0.9,0.5\nb,0.7,0.6\n")
    (tmp_path / "l.csv").write_text("model,z\na,12\nb,19\n")
    import_file(embedded_store, tmp_path / "r.csv", metric="accuracy", format="wide")
    import_file(embedded_store, tmp_path / "l.csv", metric="rmse", format="wide")
    shot = take(embedded_store, tmp_path)
    found = evidence(shot, candidates_of(shot), target="new", proxies=None)
    assert (found.metric, found.bounds) == ("accuracy", (0.0, 1.0))
    assert found.in_metric is not None
    assert dict(zip(found.datasets, found.in_metric.tolist(), strict=True)) == {"x": True, "y": True, "z": False}
    on_loss = evidence(shot, candidates_of(shot), target="z", proxies=None)
    assert on_loss.metric == "rmse"
    assert on_loss.bounds is not None
    assert on_loss.bounds[1] == 0.0
