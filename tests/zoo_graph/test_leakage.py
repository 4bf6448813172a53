"""Who has seen a dataset in training: by name, config, revision, content and descent."""

from collections.abc import Callable
from pathlib import Path

import pytest

from selection.recall import Constraints
from zoo_graph.errors import UnknownNameError
from zoo_graph.evidence import candidates_of, evidence
from zoo_graph.ingest import import_file
from zoo_graph.leakage import seen_by
from zoo_graph.records import Dataset
from zoo_graph.snapshot import Snapshot, take
from zoo_graph.store import Connection
from zoo_graph.zoo import Zoo

MakeZoo = Callable[..., Snapshot]


@pytest.fixture
def make(embedded_store: Connection, tmp_path: Path) -> MakeZoo:
    """A zoo of models, `pretrained_on` and `derived_from` by name, with datasets told of."""

    def made(models: dict[str, tuple[str, str]], datasets: str = "") -> Snapshot:
        rows = [f"{name},{on},{base}" for name, (on, base) in models.items()]
        (tmp_path / "m.csv").write_text("\n".join(["model,pretrained_on,derived_from", *rows]) + "\n")
        import_file(embedded_store, tmp_path / "m.csv", format="models")
        if datasets:
            (tmp_path / "d.csv").write_text(f"dataset,labels_digest,features_digest\n{datasets}")
            import_file(embedded_store, tmp_path / "d.csv", format="datasets")
        return take(embedded_store, tmp_path)

    return made


def test_a_config_is_part_of_its_dataset_whatever_the_case_and_the_revision(make: MakeZoo) -> None:
    zoo = make(
        {
            "same": ("GLUE:sst2", ""),
            "revision": ("glue:sst2@1.0", ""),
            "whole": ("glue", ""),
            "sibling": ("glue:cola", ""),
            "alike": ("glue-x", ""),
            "none": ("", ""),
        }
    )
    assert seen_by(zoo, "glue:sst2@2.0") == {
        "same": "pretrained on GLUE:sst2",
        "revision": "pretrained on glue:sst2@1.0",
        "whole": "pretrained on glue, which contains glue:sst2@2.0",
    }
    assert set(seen_by(zoo, "glue")) == {"same", "revision", "whole", "sibling"}
    assert seen_by(zoo, "glue")["sibling"] == "pretrained on glue:cola, a part of glue"


def test_the_nearest_of_several_datasets_is_named(make: MakeZoo) -> None:
    assert seen_by(make({"m": ("glue;x;glue:sst2", "")}), "glue:sst2") == {"m": "pretrained on glue:sst2"}


def test_descent_carries_it_on_over_any_number_of_steps_and_never_back(make: MakeZoo) -> None:
    zoo = make(
        {
            "base": ("", ""),
            "seen": ("beans", "base"),
            "child": ("", "seen"),
            "grandchild": ("", "child"),
            "other": ("", "base"),
            "both": ("beans", "seen"),
        }
    )
    assert seen_by(zoo, "beans") == {
        "seen": "pretrained on beans",
        "both": "pretrained on beans",
        "child": "derived from seen, pretrained on beans",
        "grandchild": "derived from seen, pretrained on beans",
    }


def test_lineage_that_runs_in_a_circle_ends(make: MakeZoo) -> None:
    assert set(seen_by(make({"a": ("beans", "b"), "b": ("", "a")}), "beans")) == {"a", "b"}


def test_what_the_user_says_overlaps_counts(make: MakeZoo) -> None:
    zoo = make({"m": ("web-crawl", "")})
    assert seen_by(zoo, "reviews") == {}
    assert seen_by(zoo, "reviews", overlapping=["Web-Crawl"]) == {"m": "pretrained on web-crawl, held out with reviews"}


def test_the_same_content_under_another_name_is_found(make: MakeZoo) -> None:
    zoo = make({"m": ("old", ""), "n": ("sample", "")}, "old,L1,\nmine,L1,F1\nsample,,F1\nother,L2,F2\n")
    assert seen_by(zoo, "mine") == {
        "m": "pretrained on old, the same data as mine",
        "n": "pretrained on sample, the same data as mine",
    }
    assert set(seen_by(zoo, "new", labels_digest="L1")) == {"m"}
    assert seen_by(zoo, "new") == seen_by(zoo, "other") == {}


def test_evidence_carries_it_also_for_a_dataset_that_the_zoo_does_not_hold(make: MakeZoo) -> None:
    zoo = make({"m": ("old", ""), "n": ("part", "")}, "old,L1,\n")
    about = Dataset("new", labels_digest="L1")
    found = evidence(zoo, candidates_of(zoo), target="new", proxies={}, hold_out=["part"], about=about)
    assert found.seen == {"m": "pretrained on old, the same data as new", "n": "pretrained on part, held out with new"}


def test_recommend_marks_them_and_leaves_them_out_on_request(embedded_store: Connection, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("model,pretrained_on,derived_from\nacme/c,glue,\nacme/b,,acme/c\n")
    rows = "".join(f"acme/{name},0.{9 - n},0.{8 - n},0.{7 - n},\n" for n, name in enumerate("cbade"))
    (tmp_path / "r.csv").write_text(f"model,x,y,z,glue:sst2\n{rows}acme/f,,,,0.5\n")
    import_file(embedded_store, tmp_path / "m.csv", format="models")
    import_file(embedded_store, tmp_path / "r.csv", metric="accuracy", format="wide")
    zoo = Zoo(embedded_store, tmp_path)
    first, second, third, *_ = zoo.recommend("glue:sst2", 3).picks
    words = "pretrained on glue, which contains glue:sst2"
    assert (first.model, first.reasons[0]) == ("acme/c", f"{words}: its score there may be inflated")
    assert (second.model, second.reasons[0].split(": its")[0]) == ("acme/b", f"derived from acme/c, {words}")
    assert third.model == "acme/a"
    found = zoo.recommend("glue:sst2", 3, constraints=Constraints(exclude_pretrained=True))
    assert found.picks[0].model == "acme/a"
    assert {one.model: one.rule for one in found.excluded}["acme/c"] == words
    with pytest.raises(UnknownNameError):
        zoo.recommend("glue:sst2", 3, hold_out=["unheard of"])
