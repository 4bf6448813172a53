"""Features of many candidates' rows at a site, before they are probed one after another here.

The nodes bring features back, so that only this process writes the cache. Knows backbones, the cache and sites; who
fails here fails again when it is probed, and that says why.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from selection.backbones import Embedded
from selection.datasets import Dataset
from selection.executors.executor import Site
from selection.features import FeatureCache, Features, digest_of_rows, extract, feature_key
from selection.probing import is_cached, open_for
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
    missing = [one for one in candidates if one.source and not is_cached(one, cache, max_length, device, sample)]
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
    from selection.hardware import threads

    with threads(n_threads):
        backbone = open_for(dataset, candidate, max_length=max_length, device=device)
        return _Extracted(backbone.digest, extract(backbone, dataset.probe_part()[0]))
