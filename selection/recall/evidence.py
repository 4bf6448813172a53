"""What recall knows: past results of the candidates, proxy scores on the target, and both on past datasets.

Arrays are indexed by candidate (M, in the order of `candidates`) and source dataset (D, in the order of
`datasets`); nan means not measured everywhere. Knows nothing of where the numbers come from.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from selection.errors import InputError
from selection.records import Candidate

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything a recall stands on, for one target dataset.

    `scores` (M, D) are comparable within a column, larger is better; columns may have any offset and
    scale. `proxies` name -> (M,) are proxy scores on the target, `past_proxies` name -> (M, D) the same
    on the source datasets, from which it is learnt how far each may be trusted. Proxies are only ever
    compared within one dataset, so each dataset may have its own sample size. Proxies that are not
    finite count as not computed. `measured` (M,) are results on the target itself, in the unit of
    `metric`. `target`, where given, is checked to be absent from `datasets`: its results must not leak.
    `similarity` basis -> (D + 1, D + 1) says how alike datasets are, the target last: between -1 and 1, larger is
    more alike, 0 or nan where nothing is known. How far each basis tells who wins is learnt. `seconds` (M,) is what
    training each candidate took, made comparable by the caller; nan not known. `seen` model -> words (`pretrained on
    glue`) says who was trained on the target: what they reach there may be inflated. `in_metric` (D,) says which
    datasets' scores are in the unit of `metric` (None: all), `bounds` what a score of it can be at all (None: unknown).

    Raises:
        InputError: shapes that do not match, names given twice, infinite scores or similarities, no
            candidates, a target among the sources.
    """

    candidates: tuple[Candidate, ...]
    datasets: tuple[str, ...]
    scores: FloatArray
    proxies: Mapping[str, FloatArray] = field(default_factory=dict)
    past_proxies: Mapping[str, FloatArray] = field(default_factory=dict)
    measured: FloatArray | None = None
    metric: str = "score"
    target: str | None = None
    similarity: Mapping[str, FloatArray] = field(default_factory=dict)
    seconds: FloatArray | None = None
    seen: Mapping[str, str] = field(default_factory=dict)
    in_metric: BoolArray | None = None
    bounds: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        models, sources = len(self.candidates), len(self.datasets)
        if not models:
            raise InputError("got no candidates; wanted at least one model: import models or name them")
        _check_unique("candidate", [candidate.model for candidate in self.candidates])
        _check_unique("source dataset", list(self.datasets))
        if self.target is not None and self.target in self.datasets:
            raise InputError(
                f"got the target {self.target!r} among the source datasets; wanted other datasets only: "
                "leave its column out of `scores` and give its results as `measured`"
            )
        _check_array("scores", self.scores, (models, sources))
        if np.isinf(self.scores).any():
            raise InputError("got infinite scores; wanted finite ones, or nan for not measured")
        for name, values in self.proxies.items():
            _check_array(f"proxies[{name!r}]", values, (models,))
        for name, values in self.past_proxies.items():
            _check_array(f"past_proxies[{name!r}]", values, (models, sources))
        for name, values in self.similarity.items():
            _check_array(
                f"similarity[{name!r}]", values, (sources + 1, sources + 1), "(datasets and the target) squared"
            )
            if np.isinf(values).any():
                raise InputError(f"got infinite similarity[{name!r}]; wanted finite numbers, or nan for not known")
        if self.in_metric is not None and self.in_metric.shape != (sources,):
            raise InputError(f"got in_metric of shape {self.in_metric.shape}; wanted ({sources},), one a dataset")
        if self.seconds is not None:
            _check_array("seconds", self.seconds, (models,))
        if self.measured is not None:
            _check_array("measured", self.measured, (models,))
            if np.isinf(self.measured).any():
                raise InputError("got infinite measured results; wanted finite ones, or nan for not measured")


def _check_unique(what: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise InputError(f"got the {what} {twice[0]!r} twice; wanted each once: merge its rows")


def _check_array(
    what: str, values: FloatArray, shape: tuple[int, ...], meaning: str = "(candidates, datasets) in their order"
) -> None:
    if values.shape != shape:
        raise InputError(f"got {what} of shape {values.shape}; wanted {shape}: {meaning}")
