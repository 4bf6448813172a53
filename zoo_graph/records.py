"""What importers yield and the graph holds: frozen records with nothing of a file format or a database in them.

Units: seconds, counts, fractions. `score` is comparable and larger-is-better; `value` is as reported.
Ids: a model is `org/name[@revision]`, a dataset `name[:config][@revision]`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

LineageKind = Literal["finetune", "adapter", "quantized", "merge", "distilled", "truncated"]
RunKind = Literal[
    "import", "scores", "dataset similarity", "similarity", "communities", "proxies", "measure", "selection"
]


@dataclass(frozen=True, slots=True)
class Lineage:
    """`(Model)-[:DERIVED_FROM {kind}]->(Model)`."""

    base: str
    kind: LineageKind


@dataclass(frozen=True, slots=True)
class Model:
    """A model and what is known of it; None is unknown, never a guess."""

    id: str
    name: str | None = None
    family: str | None = None
    architecture: str | None = None
    modality: str | None = None
    tasks: tuple[str, ...] = ()
    n_parameters: int | None = None
    license: str | None = None
    source: str | None = None
    input_spec: str | None = None
    created: str | None = None
    derived_from: tuple[Lineage, ...] = ()
    pretrained_on: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset and what is known of it; its rows never enter the graph.

    `labels_digest` tells two datasets of one name apart: it is of the modality, the classes and every row's label.
    `tags` say what it is about; `kind:label` (`language:fra`) compares only with tags of that kind. `embedding` is the
    mean of its rows under the encoder `embedding_by`: only embeddings of one encoder compare.
    """

    id: str
    name: str | None = None
    task: str | None = None
    modality: str | None = None
    n_classes: int | None = None
    n_samples: int | None = None
    features_digest: str | None = None
    labels_digest: str | None = None
    tags: tuple[str, ...] = ()
    embedding: tuple[float, ...] = ()
    embedding_by: str | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """One measured result. Everything but `value`'s derived `score`, `seconds` and the curve is part of its id.

    `config` holds any further condition (image size, prompt, n_subsets ...).
    """

    model: str
    dataset: str
    metric: str
    value: float
    score: float
    unit: str
    split: str | None = None
    n_shot: int | None = None
    method: str | None = None
    seed: int | None = None
    source: str | None = None
    harness: str | None = None
    date: str | None = None
    config: Mapping[str, str | int | float | bool] | None = None
    seconds: float | None = None
    curve: tuple[float, ...] = ()
    curve_steps: tuple[int, ...] = ()

    @property
    def config_json(self) -> str | None:
        """`config` as canonical JSON (sorted keys), as the graph stores it."""
        return json.dumps(dict(self.config), sort_keys=True, ensure_ascii=False) if self.config else None

    @property
    def id(self) -> str:
        """Content hash (24 hex digits): the same result imported twice has the same id."""
        parts = (
            self.model, self.dataset, self.metric, repr(float(self.value)), self.unit, self.split, self.n_shot,
            self.method, self.seed, self.source, self.harness, self.date, self.config_json,
        )  # fmt: skip
        text = json.dumps(parts, ensure_ascii=False)
        return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


@dataclass(frozen=True, slots=True)
class Proxy:
    """One proxy score of a model on a dataset's sample, as `(Model)-[:PROXY]->(Dataset)` holds it."""

    model: str
    dataset: str
    name: str
    score: float
    seconds: float
    sample_digest: str
    n_samples: int


@dataclass(frozen=True, slots=True)
class Distance:
    """How far a user says two datasets are apart: 0 or more, in any unit."""

    dataset: str
    other: str
    distance: float


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that was not imported: where it stands, what was got, and the rule it broke."""

    line: int
    column: str | None
    value: str
    rule: str


Record = Model | Dataset | Result | Proxy | Distance


def now() -> str:
    """Returns the time in UTC, ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True)
class Run:
    """Who wrote what: an import, a refresh step, a selection."""

    id: str
    kind: RunKind
    started: str
    finished: str | None = None
    input_digest: str | None = None
    code_version: str | None = None
    parameters: str | None = None
    counts: str | None = None
    status: Literal["running", "done", "failed"] = "running"

    @classmethod
    def begun(cls, kind: RunKind, digest: str, parameters: Mapping[str, object]) -> "Run":
        """A run that begins now; the same kind and digest of its inputs give the same id."""
        written = json.dumps(parameters, sort_keys=True)
        return cls(f"{kind}-{digest}", kind, now(), input_digest=digest, parameters=written)
