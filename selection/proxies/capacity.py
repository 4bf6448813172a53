"""PARC's capacity heuristic: of models that score alike the deeper learns more (Bolya et al. 2021, section 4)."""

from collections.abc import Mapping

import numpy as np

from selection.errors import InputError

LAYERS_PER_DEVIATION = 50.0


def with_capacity(scores: Mapping[str, float], n_layers: Mapping[str, int]) -> dict[str, float]:
    """Each candidate's proxy score, standardised over the candidates, plus its number of layers / 50.

    scores is one proxy on one dataset, by model; nan (undefined) stays nan and has no part in mean and deviation. Equal
    scores standardise to 0, so that depth alone decides.

    Raises:
        InputError: a candidate without a positive number of layers.
    """
    for name in scores:
        if not n_layers.get(name, 0) > 0:
            raise InputError(f"n_layers: got {n_layers.get(name)} for {name}, wanted a positive number for each model")
    values = np.array([scores[name] for name in scores], np.float64)
    known = values[np.isfinite(values)]
    mean, deviation = (known.mean(), known.std()) if len(known) else (0.0, 0.0)
    if deviation <= np.finfo(np.float64).eps * np.abs(known).max(initial=0.0):
        mean, deviation, values = 0.0, 1.0, np.where(np.isfinite(values), 0.0, np.nan)
    standardised = np.where(np.isfinite(values), (values - mean) / deviation, np.nan)
    return {
        name: float(value) + n_layers[name] / LAYERS_PER_DEVIATION
        for name, value in zip(scores, standardised, strict=True)
    }
