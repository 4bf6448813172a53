"""LEEP: how well the source head's own classes predict the labels (Nguyen et al. 2020, equation 2)."""

import numpy as np

from selection.errors import InputError
from selection.proxies.inputs import Floats
from selection.proxies.moments import Moments


def leep(moments: Moments) -> float:
    """Mean log-likelihood of the labels under the empirical predictor of the source classes; at most 0.

    Raises:
        InputError: the model came without a source head of at least two classes.
    """
    theta = moments.source_probabilities
    if theta is None or theta.shape[1] < 2:
        raise InputError("got no source head with two or more classes, wanted its logits; LEEP is not defined here")
    return empirical_log_likelihood(moments, theta)


def empirical_log_likelihood(moments: Moments, theta: Floats) -> float:
    """mean_i log sum_z P(y_i | z) theta_i(z), where P(y, z) is the mean of theta_i(z) over rows of class y.

    theta (N, Z) has a distribution in each row; a z that no row uses counts nothing. Cost O(N Z): each class's rows
    meet only their own row of P, so the (N, C) product is never formed.
    """
    parts = [theta[index] for index in moments.class_rows]
    joint = np.stack([part.sum(axis=0, dtype=np.float64) for part in parts])
    total = joint.sum(axis=0)
    given = np.divide(joint, total, out=np.zeros_like(joint), where=total > 0).astype(theta.dtype)
    summed = sum(float(np.log(part @ given[label]).sum(dtype=np.float64)) for label, part in enumerate(parts))
    return summed / moments.n_rows
