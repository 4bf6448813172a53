"""What a proxy score is worth before it is computed: how much better the picks are expected to be for it.

Arrays in, gains out, all on the z-scale. Knows neither seconds nor who computes proxies.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr

from selection.recall.ability import Ability
from selection.recall.evidence import Evidence, FloatArray
from selection.recall.posterior import Posterior
from selection.recall.stacking import PRIOR_CORRELATION, Belief, Trust, learn_trust

# Lists of these lengths are what picks are used as; longer ones count at their own length.
_LENGTHS = (1, 2, 3, 5, 10)
_SQRT_2PI = float(np.sqrt(2 * np.pi))


def probe_gains(
    evidence: Evidence, posterior: Posterior, names: Sequence[str], kept: Sequence[int], k: int
) -> FloatArray:
    """Expected gain (M,) of computing the proxies `names` for each of the candidates `kept`; 0 for all others.

    `posterior` is that of the `evidence` without any proxy of the target. Proxies that did not help on the zoo's past
    gain nothing.
    """
    trust = learn_trust(posterior.history, evidence.past_proxies, tuple(sorted(names)))
    belief = Belief(posterior.prediction.mean, posterior.prediction.sd)
    move = belief.sd * np.sqrt(told_share(belief, posterior.history.ability, trust))
    rows, found = list(kept), np.zeros(len(move))
    found[rows] = gains(belief.mean[rows], move[rows], k)
    return found


def told_share(belief: Belief, ability: Ability, trust: Trust) -> FloatArray:
    """Share of each model's variance (M,) that proxies are expected to explain, as `apply_trust` weighs them."""
    if trust.with_history is None or trust.without is None:
        variance, rho = belief.sd**2, PRIOR_CORRELATION**2
        return np.asarray(rho * variance / (rho * variance + 1 - rho))
    remaining = ability.trust * trust.with_history.remaining + (1 - ability.trust) * trust.without.remaining
    return np.asarray(1 - remaining)


def gains(mean: FloatArray, move: FloatArray, k: int) -> FloatArray:
    """Expected gain (M,) of knowing each model's proxy, where it moves the model's mean by a normal of sd `move` (M,).

    The knowledge gradient for choosing a set (Frazier, Powell and Dayanik 2008, for sets instead of one): s f(-D / s)
    with f(x) = phi(x) + x Phi(x) and D the way to the border, which is the j-th best mean for those outside the best
    j and the (j + 1)-th for those inside. Mean over j = 1, 2, 3, 5, 10 and k as far as they are below M and up to k.
    Cost O(M log M).
    """
    ordered = np.sort(mean)[::-1]
    lengths = sorted({j for j in (*_LENGTHS, k) if j <= k and j < len(mean)})
    total = np.zeros(len(mean))
    for j in lengths:
        inside, outside = ordered[j - 1], ordered[j]
        total += _crossing(np.where(mean >= inside, mean - outside, inside - mean), move)
    return total / max(1, len(lengths))


def _crossing(distance: FloatArray, move: FloatArray) -> FloatArray:
    """E max(0, N(-distance, move^2)) (M,)."""
    x = np.divide(-distance, move, out=np.zeros_like(distance), where=move > 0)
    return np.asarray(np.where(move > 0, move * (np.exp(-(x**2) / 2) / _SQRT_2PI + x * ndtr(x)), 0.0))
