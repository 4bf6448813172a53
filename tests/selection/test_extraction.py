from pathlib import Path

import numpy as np

from selection.backbones import open_backbone
from selection.datasets import Dataset
from selection.executors.executor import Site
from selection.extraction import extract_all
from selection.features import FeatureCache, checkpoint_signature, extract
from selection.hardware import default_precision
from selection.probing import probe
from selection.records import Candidate


def test_features_of_a_site_are_those_computed_here_and_are_not_computed_again(
    texts: Dataset, bert: Path, decoder: Path, vit: Path, tmp_path: Path
) -> None:
    candidates = [
        Candidate("a/bert", str(bert)),
        Candidate("a/decoder", str(decoder)),
        Candidate("a/vit", str(vit)),
        Candidate("a/gone", str(tmp_path / "gone")),
        Candidate("a/nowhere"),
    ]
    cache = FeatureCache(tmp_path / "cache")
    assert set(extract_all(texts, candidates, cache, Site(2), max_length=16)) == {"a/bert", "a/decoder"}
    rows, _ = texts.part("train")
    backbone = open_backbone(str(bert), max_length=16, precision=default_precision("cpu"))
    found = extract(backbone, rows, cache=cache, track=lambda batches, n: iter(()))  # would fail, were it computed
    np.testing.assert_allclose(found.features, extract(backbone, rows).features, atol=1e-5)
    probed = probe(texts, candidates, cache, max_length=16)
    assert set(probed.scores) == {"a/bert", "a/decoder"}
    assert {one.model for one in probed.failures} == {"a/vit", "a/gone", "a/nowhere"}
    assert cache.holds(checkpoint_signature(bert, 16, default_precision("cpu")), found.sample_digest)
    assert extract_all(texts, candidates[:1], cache, Site(), max_length=16) == ()
