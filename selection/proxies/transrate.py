"""TransRate: coding length of the features less that of the classes' own (Huang et al. 2022, equations 2 to 4)."""

from selection.proxies.moments import Moments
from selection.proxies.spectra import log_determinant

DISTORTION = 1e-4


def transrate(moments: Moments) -> float:
    """R(F) - mean over classes of R(F_c), R(A) = 1/2 log det(I + A'A / (n_A 1e-4)); features less their overall mean.

    As in the authors' program classes count alike, whatever their sizes. It grows with the features' scale and
    dimensions, so it compares models whose features are scaled alike. Identical rows score 0.
    """
    gram = moments.centered_kernel if moments.dual else moments.centered_gram
    whole = log_determinant(gram / (moments.n_rows * DISTORTION), moments.n_rows, moments.n_dims)
    return 0.5 * (whole - float(moments.class_log_determinants(1.0 / DISTORTION).mean()))
