"""The whole of what evidence says about one target: history, then proxies, then results on the target itself."""

from dataclasses import dataclass

import numpy as np

from selection.recall.evidence import Evidence, FloatArray, IntArray
from selection.recall.history import History, learn_history, weigh_history
from selection.recall.prediction import (
    Calibration,
    Levels,
    Prediction,
    Target,
    Unit,
    calibrate,
    draw,
    learn_unit,
    predict,
    shared_residuals,
)
from selection.recall.shapes import Shapes, standardise_proxy
from selection.recall.similarity import Relations, relate
from selection.recall.stacking import Belief, Trust, apply_trust, learn_trust

N_DRAWS = 2000


@dataclass(frozen=True, slots=True)
class Posterior:
    """What is believed of every candidate's result on the target.

    `prediction.mean` and `.sd` are on the z-scale (0 = an average model of the zoo on this dataset, 1 = a
    standard deviation of models), the sd not yet calibrated; `low` and `high` (M,) bound the score at the level
    asked for. `in_units` is False where nothing tells the target's unit: scores then are z. `plain` is the history in
    which all datasets count the same; `beliefs` (D) are those that would have been had of each past dataset, before
    any result on it.
    """

    plain: History
    history: History
    relations: Relations
    beliefs: tuple[Belief, ...]
    trust: Trust
    target: Target
    prediction: Prediction
    calibration: Calibration
    low: FloatArray
    high: FloatArray
    in_units: bool

    def draws(self, seed: int, order: IntArray) -> FloatArray:
        """Joint draws (N_DRAWS, M) of z, widened as calibrated, made in `order` (M,) so that it alone decides them."""
        belief, measured = self.target.belief, self.target.measured
        sorted_target = Target(
            Belief(belief.mean[order], belief.sd[order]), self.target.unit, self.target.loadings[order], measured[order]
        )
        plain = np.empty((N_DRAWS, len(order)))
        plain[:, order] = draw(sorted_target, N_DRAWS, np.random.default_rng(seed))
        return np.asarray(self.prediction.mean + self.calibration.z * (plain - self.prediction.mean))


def learn_posterior(evidence: Evidence, level: float) -> Posterior:
    """Learns the posterior of every candidate. Cost O(M D), plus O(M D^2 k) where k models are measured."""
    plain = learn_history(evidence.scores, evidence.candidates)
    relations = relate(plain.columns.z, evidence.similarity)
    history = weigh_history(plain, relations)
    names = tuple(sorted(name for name, values in evidence.proxies.items() if np.isfinite(values).any()))
    trust = learn_trust(history, evidence.past_proxies, names)
    shapes = Shapes.of(history.columns.z)
    beliefs = [
        _believe(history, trust, _past_proxies(evidence, trust, shapes, d), d) for d in range(len(evidence.datasets))
    ]
    belief = _believe(history, trust, _proxies(evidence, trust, shapes), None)
    residuals = _residuals(history, beliefs)
    measured = _nothing(evidence) if evidence.measured is None else evidence.measured
    levels = Levels.of(evidence.proxies, evidence.past_proxies)
    unit = learn_unit(history.columns, None, levels, evidence.in_metric)
    target = Target(belief, unit or _unit_without_history(measured), shared_residuals(residuals), measured)
    prediction = predict(target)
    warm = ~np.isnan(measured)
    calibration = calibrate(
        beliefs, evidence.scores, history.columns, residuals, warm, level, levels, evidence.in_metric
    )
    low = prediction.score - calibration.low * prediction.score_sd
    high = prediction.score + calibration.high * prediction.score_sd
    in_units = unit is not None or bool((~np.isnan(measured)).any())
    return Posterior(
        plain,
        history,
        relations,
        tuple(beliefs),
        trust,
        target,
        prediction,
        calibration,
        low,
        high,
        in_units,
    )


def _believe(history: History, trust: Trust, proxies: FloatArray, left_out: int | None) -> Belief:
    ability = history.ability if left_out is None else history.left_out[left_out]
    belief = Belief(ability.mean, np.sqrt(ability.variance + history.variances.noise))
    return apply_trust(belief, ability, proxies, trust, left_out)


def _proxies(evidence: Evidence, trust: Trust, shapes: Shapes) -> FloatArray:
    usual = shapes.usual()
    columns = [standardise_proxy(evidence.proxies[name], usual) for name in trust.names]
    return np.stack(columns or [_nothing(evidence)])


def _past_proxies(evidence: Evidence, trust: Trust, shapes: Shapes, d: int) -> FloatArray:
    """What the target's treatment would have seen on dataset d; nothing where no weights were learnt."""
    if not trust.learnt:
        return _nothing(evidence)[None]
    usual = shapes.usual(d)
    return np.stack([standardise_proxy(evidence.past_proxies[name][:, d], usual) for name in trust.names])


def _residuals(history: History, beliefs: list[Belief]) -> FloatArray:
    """(M, D) left-out residuals in standard deviations; nan where not measured."""
    z = history.columns.z
    if not beliefs:
        return z
    return np.asarray((z - np.stack([b.mean for b in beliefs], 1)) / np.stack([b.sd for b in beliefs], 1))


def _unit_without_history(measured: FloatArray) -> Unit:
    """z itself; or, from results on the target alone, their own mean and spread, held loosely."""
    values = measured[~np.isnan(measured)]
    if not len(values):
        return Unit(0.0, 0.0, 1.0, 0.0)
    spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    spread = spread or 0.1 * abs(float(values.mean())) or 1.0
    return Unit(float(values.mean()), (4 * spread) ** 2, spread, spread**2)


def _nothing(evidence: Evidence) -> FloatArray:
    return np.full(len(evidence.candidates), np.nan)
