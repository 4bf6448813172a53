"""What the jobs of a refresh work on, and the digest that tells whether a job's answer would be another by now.

Knows the snapshot and what is derived from it in memory. Writes nothing.
"""

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from zoo_graph.communities import Partition, partition
from zoo_graph.evidence import described
from zoo_graph.ingest.session import code_version
from zoo_graph.link_evidence import graph_digest, link_graph
from zoo_graph.link_prediction.graph import ZooGraph
from zoo_graph.records import Dataset
from zoo_graph.scores import ScoreMatrix, score_matrix
from zoo_graph.similarity import Edges, model_edges
from zoo_graph.snapshot import Snapshot

Job = Literal["scores", "dataset similarity", "similarity", "communities", "link prediction"]

_ALGORITHM = 1  # raised when a job's answer changes, so that it is run again


def code_of_jobs() -> str:
    """The version of the code that answers."""
    return f"{code_version()}/{_ALGORITHM}"


class Inputs:
    """What the jobs work on: computed when first needed, each once, however many jobs are skipped."""

    def __init__(self, snapshot: Snapshot, seed: int, excluded: tuple[str, ...], folder: Path) -> None:
        self.snapshot = snapshot
        self.folder = folder
        self.seed = seed
        self.excluded = excluded
        self.matrix: ScoreMatrix = score_matrix(snapshot, exclude_datasets=excluded)

    def with_seed(self, seed: int) -> "Inputs":
        """The same inputs under another seed."""
        return self if seed == self.seed else Inputs(self.snapshot, seed, self.excluded, self.folder)

    @cached_property
    def edges(self) -> Edges:
        """Which models perform alike."""
        return model_edges(self.matrix)

    @cached_property
    def partition(self) -> Partition:
        """The models' communities."""
        return partition(self.matrix, self.edges, seed=self.seed)

    @cached_property
    def described(self) -> tuple[Dataset, ...]:
        """The datasets with all that is known of them beside results, without those held out."""
        return tuple(one for name, one in described(self.snapshot).items() if name not in self.excluded)

    @cached_property
    def graph(self) -> ZooGraph:
        """The zoo as link prediction sees it."""
        return link_graph(self.snapshot, self.excluded)

    @cached_property
    def graph_digest(self) -> str:
        """Digest of all that link prediction learns from."""
        return graph_digest(self.graph)

    @cached_property
    def families(self) -> tuple[str | None, ...]:
        """Family or architecture of each model that has scores."""
        models = self.snapshot.models
        columns = (models[name].to_pylist() for name in ("id", "family", "architecture"))
        known = {model: family or architecture for model, family, architecture in zip(*columns, strict=True)}
        return tuple(known[model] for model in self.matrix.models)

    def parameters(self, job: Job) -> dict[str, object]:
        """What a run's node keeps of how it was asked for."""
        said: dict[str, object] = {"exclude_datasets": self.excluded}
        return said | {"seed": self.seed} if job in ("communities", "link prediction") else said

    def digest(self, job: Job) -> str:
        """Returns the digest of all that decides a job's answer; what it does not depend on does not count."""
        parts: list[object] = [code_of_jobs(), job, self.parameters(job), self.matrix.models, self.matrix.datasets]
        if job == "scores":
            parts.append(self.matrix.metrics)
        if job == "communities":
            parts.append(self.families)
        if job == "dataset similarity":
            parts.append([(one.id, one.embedding_by, one.embedding) for one in self.described if one.embedding])
        if job == "link prediction":
            return hashlib.blake2b(f"{json.dumps(parts)}{self.graph_digest}".encode(), digest_size=16).hexdigest()
        digest = hashlib.blake2b(json.dumps(parts, ensure_ascii=False).encode(), digest_size=16)
        arrays = [self.matrix.scores, self.matrix.n, self.matrix.spread] if job == "scores" else [self.matrix.scores]
        for array in arrays:
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def run_id(self, job: Job) -> str:
        """Id of the run that does the job on these inputs."""
        return f"{job.replace(' ', '-')}-{self.digest(job)[:12]}"
