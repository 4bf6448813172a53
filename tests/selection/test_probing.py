import shutil
from pathlib import Path

import numpy as np
import pytest

from selection.datasets import Dataset
from selection.features import FeatureCache
from selection.probing import local_candidates, probe
from selection.proxies import PROXIES
from selection.records import Candidate


def test_each_candidate_is_scored_and_failures_stand_beside(
    tmp_path: Path, texts: Dataset, bert: Path, bert_with_head: Path, vit: Path, decoder: Path
) -> None:
    torn = tmp_path / "torn"
    shutil.copytree(bert, torn)
    (torn / "model.safetensors").write_bytes(b"x" * 99)
    names = {"bert": bert, "five": bert_with_head, "decoder": decoder, "torn": torn, "vit": vit}
    candidates = [*(Candidate(name, str(folder)) for name, folder in names.items()), Candidate("nowhere")]
    seen = []
    probed = probe(texts, candidates, FeatureCache(tmp_path / "cache"), track=lambda them: (seen.append(1), them)[1])
    assert set(probed.scores) == set(probed.row_seconds) == set(probed.n_parameters) == {"bert", "five", "decoder"}
    assert [(failure.model, failure.dataset) for failure in probed.failures] == [
        ("torn", "toy"),
        ("vit", "toy"),
        ("nowhere", "toy"),
    ]
    reasons = [failure.reason for failure in probed.failures]
    assert "does not load as a checkpoint" in reasons[0]
    assert reasons[1:] == [
        "it reads image and toy holds text",
        "the zoo does not know where its weights are: import a source (folder or hub id) for it",
    ]
    assert tuple(score.name for score in probed.scores["five"]) == tuple(PROXIES)
    defined = {model: {s.name for s in scores if not np.isnan(s.score)} for model, scores in probed.scores.items()}
    assert "leep" in defined["five"]  # it needs a source head
    assert "leep" not in defined["bert"]
    accuracy = probed.probe("bert")
    assert accuracy is not None
    assert 0 <= accuracy <= 1
    assert probed.probe("torn") is None
    assert seen == [1]


def test_a_candidate_given_twice_is_one_and_the_second_time_comes_from_the_cache(
    tmp_path: Path, texts: Dataset, bert: Path
) -> None:
    cache = FeatureCache(tmp_path / "cache")
    twice = [Candidate("bert", str(bert))] * 2
    first = probe(texts, twice, cache, names=["logme"])
    assert [score.name for score in first.scores["bert"]] == ["logme"]
    assert len(list((tmp_path / "cache").glob("*.safetensors"))) == 1
    again = probe(texts, twice[:1], cache, names=["logme"])
    assert again.scores["bert"][0].score == first.scores["bert"][0].score


def test_folders_and_hub_ids_become_candidates(
    tmp_path: Path, bert: Path, vit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "bert"
    shutil.copytree(bert, other)
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").write_text("x")
    monkeypatch.chdir(tmp_path)
    sources = [
        bert,
        str(bert),
        vit,
        "org/name",
        "org/name",
        other,
        tmp_path / "empty",
        tmp_path / "no",
        "empty/../a.txt",
    ]
    found, failures = local_candidates(sources)
    assert [(one.model, one.modality, one.family) for one in found] == [
        ("local/bert", "text", "bert"),
        ("local/vit", "image", "vit"),
        ("org/name", None, None),
    ]
    assert found[0].source == str(bert)
    assert [failure.model for failure in failures] == ["local/bert", "local/empty", "local/no", "local/a.txt"]
    assert "two models would be called local/bert" in failures[0].reason


def test_a_link_gives_a_folder_another_name(tmp_path: Path, bert: Path) -> None:
    (tmp_path / "winner").symlink_to(bert)
    (found,), failures = local_candidates([tmp_path / "winner"])
    assert (found.model, found.source, failures) == ("local/winner", str(bert), [])
