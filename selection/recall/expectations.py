"""What recall expects before any result on a dataset: of the target, and of each past dataset as if it were one."""

import numpy as np

from selection.recall.evidence import Evidence, FloatArray
from selection.recall.posterior import learn_posterior


def expectations(evidence: Evidence) -> tuple[FloatArray, FloatArray]:
    """Expected z-scores on the target (M,) and, each as if nothing had been measured there, on past datasets (M, D).

    Results on the target itself are left aside. Cost: one posterior.
    """
    posterior = learn_posterior(evidence, 0.9)
    past = [belief.mean for belief in posterior.beliefs]
    return posterior.target.belief.mean, np.stack(past, axis=1) if past else np.empty((len(evidence.candidates), 0))
