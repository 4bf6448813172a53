"""What the zoo's finished runs tell of how a selection's runs will end: their curves, beside what recall and a probe
would have said before.

Knows the graph, the snapshot, evidence and `selection`. Trends are learnt in `selection.trends`.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from selection.recall import Evidence
from selection.recall.expectations import expectations
from selection.records import Candidate, ProxyScore
from selection.trends import Curve
from zoo_graph import queries
from zoo_graph.evidence import candidates_of, evidence
from zoo_graph.metrics import find_metric
from zoo_graph.prospects import communities_of
from zoo_graph.records import Dataset
from zoo_graph.snapshot import Snapshot
from zoo_graph.store import Connection

# Conditions of a result that do not tell its run from those it competes with.
_ROWS = ("n_train", "n_test", "n_validation")
_PROBE = "ridge_probe"


@dataclass(frozen=True, slots=True)
class Past:
    """Finished runs of other datasets, what recall expects of the candidates (by model) on the same scale, and the
    community of each of all these models that has one. `other_metrics` are those of runs that were left out."""

    curves: tuple[Curve, ...]
    recalled: Mapping[str, float]
    communities: Mapping[str, str]
    other_metrics: tuple[str, ...] = ()


def learn_past(
    connection: Connection,
    snapshot: Snapshot,
    candidates: Sequence[Candidate],
    *,
    target: str,
    metric: str,
    about: Dataset | None = None,
    proxies: Mapping[str, Sequence[ProxyScore]],
) -> Past:
    """The zoo's finished runs by `metric` on datasets other than `target`; what recall expects there and on the target.

    Scores of another metric have another spread and rise otherwise: nothing is learnt from them.

    Recall sees of a past dataset what it would have seen had it been the target; nothing of the target's own results.
    """
    found = [row for row in connection.read(queries.CURVES)[0]["rows"] if row[1] != target]
    known_metric = find_metric(metric)
    name = known_metric.name if known_metric else metric
    rows = [row for row in found if row[2] == name]
    mine = {one.model for one in candidates}
    ran = {row[0] for row in rows}
    others = [one for one in candidates_of(snapshot) if one.model in ran - mine]
    known = evidence(snapshot, [*candidates, *others], target=target, proxies=proxies, about=about)
    here, there = expectations(known)
    row_of = {one.model: place for place, one in enumerate(known.candidates)}
    column_of = {dataset: place for place, dataset in enumerate(known.datasets)}
    curves = tuple(_curve(row, known, there, row_of[row[0]], column_of.get(row[1])) for row in rows)
    informed = len(known.datasets) > 0
    recalled = {one.model: float(here[row_of[one.model]]) for one in candidates} if informed else {}
    members = communities_of(connection)
    return Past(
        curves,
        recalled,
        {model: members[model] for model in sorted(mine | ran) if model in members},
        tuple(sorted({row[2] for row in found} - {name})),
    )


def _curve(row: Sequence[Any], known: Evidence, expected: Any, place: int, column: int | None) -> Curve:
    model, dataset, metric, score, curve, steps, config, seed, method = row
    conditions = json.loads(config or "{}")
    total = float(conditions.get("total_steps") or steps[-1])
    same = sorted((name, value) for name, value in conditions.items() if name not in _ROWS)
    probe = known.past_proxies.get(_PROBE)
    return Curve(
        model=model,
        field=json.dumps([dataset, metric, seed, method, same]),
        shares=tuple(step / total for step in steps),
        scores=tuple(curve),
        final=score,
        recalled=math.nan if column is None else float(expected[place, column]),
        probe=math.nan if column is None or probe is None else float(np.asarray(probe)[place, column]),
    )
