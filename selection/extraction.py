"""Features of many candidates' rows at a site, before they are probed one after another here.

The nodes bring features back, so that only this process writes the cache. Knows backbones, the cache and sites; who
fails here fails again when it is probed, and that says why.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from selection.backbones import Embedded, open_backbone
from selection.datasets import Dataset
from selection.errors import CheckpointError
from selection.executors.executor import Site
from selection.features import (
    FeatureCache,
    Features,
    checkpoint_signature,
    digest_of_rows,
    extract,
    feature_key,
)
from selection.records import Candidate

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Extracted:
    """Features, and the digest of the checkpoint they are of."""

    digest: str
    features: Features


def extract_all(
    dataset: Dataset,
    candidates: Sequence[Candidate],
    cache: FeatureCache,
    site: Site,
    *,
    max_length: int = 128,
    device: str = "cpu",
    n_threads: int = 1,
) -> tuple[str, ...]:
    """Puts into the cache what it lacks of the probed rows' features; the models whose features are new.

    Checkpoints must be found under the same path, or as hub ids, wherever the site works.

    Raises:
        InputError: the site cannot be opened.
    """
    rows, _ = dataset.probe_part()
    sample = digest_of_rows(rows)
    missing = [one for one in candidates if one.source and not _is_cached(one, cache, max_length, device, sample)]
    work = partial(_extract, dataset, max_length, device, n_threads)
    new = []
    with site.at_most(len(missing)).open(work, threads=n_threads, device=device) as executor:
        for candidate, found in executor.run(missing):
            if isinstance(found, Exception):
                _log.info("no features of %s: %s", candidate.model, found)
                continue
            entry = Embedded(found.features.features, found.features.logits)
            cache.put(feature_key(found.digest, sample), entry, found.features.seconds)
            new.append(candidate.model)
    return tuple(new)


def _extract(dataset: Dataset, max_length: int, device: str, n_threads: int, candidate: Candidate) -> _Extracted:
    from selection.hardware import default_precision, threads

    with threads(n_threads):
        backbone = open_backbone(
            str(candidate.source),
            name=candidate.model,
            max_length=max_length,
            device=device,
            precision=default_precision(device),
        )
        if backbone.modality != dataset.modality:
            raise CheckpointError(f"it reads {backbone.modality} and {dataset.name} holds {dataset.modality}")
        return _Extracted(backbone.digest, extract(backbone, dataset.probe_part()[0]))


def _is_cached(candidate: Candidate, cache: FeatureCache, max_length: int, device: str, sample_digest: str) -> bool:
    from selection.hardware import default_precision

    folder = Path(str(candidate.source)).expanduser()
    if not folder.is_dir():
        return False
    return cache.holds(checkpoint_signature(folder, max_length, default_precision(device)), sample_digest)
