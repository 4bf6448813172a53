"""Seconds of each proxy score against a straightforward reference, one thread: python benchmarks/proxies.py --json OUT

The references below follow the papers' own programs step by step (SVD and pseudo-inverse where those use them, a loop
over classes where those loop), in double precision, without shortcuts. Ours and the reference run in turn on the same
arrays. Seconds are CPU seconds of the process, which has one thread: what the wall clock shows on an idle machine, and
little disturbed by others on a busy one. Each time of ours starts from nothing: input checks and every shared statistic
count. `suite` is LogME + H-score + regularised H-score + TransRate + SFDA + GBC + LEEP + PARC on 500 rows, `everything`
all of `PROXIES` by `score_all`; ours share one `Moments`. LDA and nearest centroid leave out each row; refitting for
each would take scikit-learn hours, so their references are its 5-fold cross-validations, and differ in value.

`extraction` is a forward pass of an encoder of all-MiniLM-L6-v2's shape (random weights, 6 layers, 384 dims) over as
many rows of 32 and 128 tokens, timed on a part of them; `everything/.../extraction<tokens>` is the share of it that all
scores take, on features of twice its width.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
if __name__ == "__main__" and any(os.environ.get(name) != "1" for name in THREADS):
    os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | THREADS)  # BLAS reads it when it is loaded

import numpy as np  # noqa: E402
import scipy.linalg  # noqa: E402
import torch  # noqa: E402
from scipy.stats import spearmanr  # noqa: E402
from sklearn.covariance import LedoitWolf  # noqa: E402
from sklearn.decomposition import PCA  # noqa: E402
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # noqa: E402
from sklearn.linear_model import Ridge  # noqa: E402
from sklearn.mixture import GaussianMixture  # noqa: E402
from sklearn.model_selection import cross_val_predict  # noqa: E402
from sklearn.neighbors import NearestCentroid, NearestNeighbors  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from selection.proxies import PROXIES, Moments, score_all  # noqa: E402
from selection.proxies.parc import parc_of  # noqa: E402
from selection.proxies.ridge_probe import FOLDS, PENALTIES  # noqa: E402
from selection.proxies.sampling import stratified_folds, stratified_sample  # noqa: E402

N_ROWS, N_DIMS, N_SOURCE = 5000, 768, 1000
SUITE = ("logme", "hscore", "regularized_hscore", "transrate", "sfda", "gbc", "leep", "parc")
TOKENS = (32, 128)


@dataclass(frozen=True)
class Data:
    """F (N, D) float32 with a decaying spectrum and class signal, y (N,), theta (N, Cs) float32."""

    features: np.ndarray
    labels: np.ndarray
    theta: np.ndarray

    @property
    def n_classes(self) -> int:
        return int(self.labels.max()) + 1

    @property
    def prior(self) -> np.ndarray:
        return np.bincount(self.labels) / len(self.labels)

    def moments(self) -> Moments:
        return Moments(self.features, self.labels, source_probabilities=self.theta)


def drawn(n_classes: int, seed: int = 0) -> Data:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, n_classes, N_ROWS)
    scales = np.arange(1, N_DIMS + 1) ** -0.7
    rotation = np.linalg.qr(generator.standard_normal((N_DIMS, N_DIMS)))[0]
    signal = 0.3 * generator.standard_normal((n_classes, N_DIMS)) * (np.arange(N_DIMS) < 200)
    latent = (generator.standard_normal((N_ROWS, N_DIMS)) + signal[labels]) * scales
    features = latent @ rotation + 0.2 * generator.standard_normal(N_DIMS)
    logits = (
        generator.standard_normal((N_ROWS, N_SOURCE)) + 1.5 * generator.standard_normal((n_classes, N_SOURCE))[labels]
    )
    powers = np.exp(logits)
    return Data(features.astype(np.float32), labels, (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32))


# -- references, after the papers' programs


def logme_reference(data: Data) -> float:
    """You et al.: SVD by way of F'F, the matrix U, and a fixed point per class."""
    features = data.features.astype(np.float64)
    n, d = features.shape
    _, s, vh = np.linalg.svd(features.T @ features)
    s = np.sqrt(s)
    rank = int((s > 1e-10).sum())
    u = (features @ vh.T)[:, :rank] / s[:rank]
    sigma = s[:rank] ** 2
    evidences = []
    for label in range(data.n_classes):
        y = (data.labels == label).astype(np.float64)
        x2 = (u.T @ y) ** 2
        rest = (y**2).sum() - x2.sum()
        alpha = beta = 1.0
        for _ in range(11):
            t = alpha / beta
            gamma = (sigma / (sigma + t)).sum()
            m2 = (sigma * x2 / (t + sigma) ** 2).sum()
            r2 = (x2 / (1 + sigma / t) ** 2).sum() + rest
            alpha, beta = gamma / (m2 + 1e-5), (n - gamma) / (r2 + 1e-5)
            evidence = d / 2 * np.log(alpha) + n / 2 * np.log(beta) - 0.5 * np.log(alpha + beta * sigma).sum()
            evidence -= beta / 2 * r2 + alpha / 2 * m2 + n / 2 * np.log(2 * np.pi)
            if abs(alpha / beta - t) / t <= 1e-3:
                break
        evidences.append(evidence / n)
    return float(np.mean(evidences))


def _means_of_classes(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    means = np.zeros_like(features)
    for label in range(labels.max() + 1):
        means[labels == label] = features[labels == label].mean(axis=0)
    return means


def hscore_reference(data: Data) -> float:
    """Bao et al.: two covariances and a pseudo-inverse."""
    features = data.features.astype(np.float64)
    covariance = np.cov(features, rowvar=False)
    between = np.cov(_means_of_classes(features, data.labels), rowvar=False)
    return float(np.trace(np.linalg.pinv(covariance, rcond=1e-15) @ between))


def regularized_hscore_reference(data: Data) -> float:
    """Ibrahim et al.: scikit-learn's Ledoit-Wolf and a pseudo-inverse (both covariances divided by N)."""
    features = data.features.astype(np.float64)
    features = features - features.mean(axis=0)
    shrunk = LedoitWolf().fit(features)
    between = np.cov(_means_of_classes(features, data.labels), rowvar=False, bias=True)
    inverse = np.linalg.pinv(shrunk.covariance_, rcond=1e-15)
    return float(np.trace(inverse @ ((1 - shrunk.shrinkage_) * between)))


def leep_of(theta: np.ndarray, labels: np.ndarray) -> float:
    """Nguyen et al.: the joint by classes, the conditional, and all of theta P'."""
    joint = np.zeros((labels.max() + 1, theta.shape[1]))
    for label in range(len(joint)):
        joint[label] = theta[labels == label].sum(axis=0) / len(labels)
    conditional = (joint / joint.sum(axis=0, keepdims=True)).T
    predicted = theta @ conditional
    return float(np.mean(np.log(predicted[np.arange(len(labels)), labels])))


def parc_reference(data: Data, n_rows: int = 500) -> float:
    """Bolya et al.: PCA, standardised, two correlation matrices, Spearman (label distances rounded to exact ties)."""
    rows = stratified_sample(data.labels, n_rows, 0)
    reduced = StandardScaler().fit_transform(_signed(PCA(32, svd_solver="full").fit_transform(data.features[rows])))
    below = np.tril_indices(len(rows), -1)
    distances = (1 - np.corrcoef(reduced))[below]
    of_labels = (1 - np.corrcoef(np.eye(data.n_classes)[data.labels[rows]]))[below]
    return float(100 * spearmanr(distances, np.round(of_labels, 6)).statistic)


def _signed(scores: np.ndarray) -> np.ndarray:
    """Scores with the sign scikit-learn gave components in the program's day: the largest entry is positive."""
    return scores * np.sign(scores[np.abs(scores).argmax(axis=0), np.arange(scores.shape[1])])


def nleep_reference(data: Data, covariance: str = "diag") -> float:
    """Li et al.: PCA, scikit-learn's mixture, LEEP. The public programs leave the covariance full; ours is diagonal."""
    rows = PCA(0.8, svd_solver="full").fit_transform(data.features.astype(np.float64))
    mixture = GaussianMixture(5 * data.n_classes, covariance_type=covariance, random_state=0).fit(rows)
    return leep_of(mixture.predict_proba(rows), data.labels)


def knn_reference(data: Data) -> float:
    """scikit-learn's brute-force neighbours, then a vote for each row."""
    near = NearestNeighbors(n_neighbors=6, metric="cosine", algorithm="brute").fit(data.features)
    distances, places = near.kneighbors(data.features)
    hits = 0
    for i in range(len(places)):
        others = places[i] != i
        votes = np.zeros(data.n_classes)
        for j, distance in zip(places[i][others][:5], distances[i][others][:5], strict=True):
            votes[data.labels[j]] += 1 + (1 - distance) / 10
        hits += votes.argmax() == data.labels[i]
    return hits / len(places)


def ridge_reference(data: Data) -> float:
    """scikit-learn's ridge, fitted anew for each fold and penalty."""
    features, targets = data.features.astype(np.float64), np.eye(data.n_classes)[data.labels]
    folds = stratified_folds(data.labels, FOLDS, 0)
    hits = np.zeros(len(PENALTIES))
    for fold in range(FOLDS):
        train, held = folds != fold, folds == fold
        scale = np.square(features[train] - features[train].mean(axis=0)).sum() / N_DIMS
        for index, penalty in enumerate(PENALTIES):
            model = Ridge(alpha=penalty * scale, solver="cholesky").fit(features[train], targets[train])
            hits[index] += (model.predict(features[held]).argmax(axis=1) == data.labels[held]).sum()
    return float(hits.max() / N_ROWS)


def transrate_reference(data: Data) -> float:
    """Huang et al.: a determinant of D x D for all rows and for each class."""
    features = data.features.astype(np.float64)
    features = features - features.mean(axis=0)

    def rate(rows: np.ndarray) -> float:
        return 0.5 * float(np.linalg.slogdet(np.eye(N_DIMS) + rows.T @ rows / (len(rows) * 1e-4))[1])

    return rate(features) - float(np.mean([rate(features[data.labels == c]) for c in range(data.n_classes)]))


def sfda_reference(data: Data) -> float:
    """Shao et al.: two shrunk discriminants, each by the generalised eigenvectors of D x D scatters."""
    features = data.features.astype(np.float64)
    own = np.arange(len(features)), data.labels
    first, shrinkage = _discriminant(features, data, None)
    confidence = _softened(first)[own][:, None]
    means = np.stack([features[data.labels == c].mean(axis=0) for c in range(data.n_classes)])
    others = (means.sum(axis=0) - means) / (data.n_classes - 1)
    mixed = confidence * features + (1 - confidence) * others[data.labels]
    return float(_discriminant(mixed, data, shrinkage)[0][own].mean())


def _discriminant(features: np.ndarray, data: Data, shrinkage: float | None) -> tuple[np.ndarray, float]:
    parts = [features[data.labels == c] for c in range(data.n_classes)]
    prior, means = data.prior, np.stack([part.mean(axis=0) for part in parts])
    within = sum(share * np.cov(part.T, bias=True) for share, part in zip(prior, parts, strict=True))
    if shrinkage is None:
        vector = within.sum(axis=1)
        for _ in range(6):
            vector = within @ vector / np.linalg.norm(within @ vector)
        shrinkage = max(float(np.exp(-5 * vector @ within @ vector)), 1e-10)
    total = _shrunk(np.cov(features.T, bias=True), shrinkage)
    within = _shrunk(within, shrinkage)
    vectors = scipy.linalg.eigh(total - within, within)[1]
    weights = means @ vectors @ vectors.T
    return _softened(features @ weights.T - 0.5 * np.diag(means @ weights.T) + np.log(prior)), shrinkage


def _shrunk(covariance: np.ndarray, shrinkage: float) -> np.ndarray:
    return (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / len(covariance) * np.eye(len(covariance))


def _softened(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def gbc_reference(data: Data) -> float:
    """Pandy et al.: 64 principal components, a distance for each pair of classes of diagonal covariance (in logs)."""
    features = PCA(64, svd_solver="full").fit_transform(data.features.astype(np.float64))
    parts = [features[data.labels == c] for c in range(data.n_classes)]
    means, variances = [part.mean(axis=0) for part in parts], [part.var(axis=0) for part in parts]
    found = []
    for a in range(data.n_classes):
        for b in range(data.n_classes):
            if a != b:
                average = (variances[a] + variances[b]) / 2
                logs = np.log(average).sum() - 0.5 * (np.log(variances[a]).sum() + np.log(variances[b]).sum())
                found.append(((means[a] - means[b]) ** 2 / average).sum() / 8 + 0.5 * logs)
    return float(-np.logaddexp.reduce(-np.array(found)))


def lda_reference(data: Data) -> float:
    """scikit-learn's discriminant with Ledoit and Wolf's shrinkage, 5 folds."""
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    predicted = cross_val_predict(model, data.features.astype(np.float64), data.labels, cv=5, method="predict_proba")
    return float(predicted[np.arange(N_ROWS), data.labels].mean())


def nearest_centroid_reference(data: Data) -> float:
    """scikit-learn's nearest centroid, 5 folds."""
    predicted = cross_val_predict(NearestCentroid(), data.features.astype(np.float64), data.labels, cv=5)
    return float((predicted == data.labels).mean())


def encoder() -> torch.nn.Module:
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    shape = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
    return BertModel(BertConfig(**shape), add_pooling_layer=False).eval()


def extraction_seconds(model: torch.nn.Module, n_tokens: int) -> float:
    """CPU seconds for N_ROWS rows of so many tokens, from 8,192 tokens in two batches of like length."""
    tokens = torch.randint(1000, 30000, (2, 4096 // n_tokens, n_tokens), generator=torch.Generator().manual_seed(0))
    start = time.process_time()
    with torch.inference_mode():
        for batch in tokens:
            model(batch).last_hidden_state.mean(dim=1)
    return (time.process_time() - start) * N_ROWS * n_tokens / tokens.numel()


# -- measuring


@dataclass(frozen=True)
class Case:
    score: str
    ours: Callable[[Data], float] | None
    reference: Callable[[Data], float]
    most_repeats: int = 1000


def _ours(name: str) -> Callable[[Data], float]:
    return lambda data: PROXIES[name](data.moments())


CASES = (
    Case("logme", _ours("logme"), logme_reference),
    Case("hscore", _ours("hscore"), hscore_reference),
    Case("regularized_hscore", _ours("regularized_hscore"), regularized_hscore_reference),
    Case("leep", _ours("leep"), lambda data: leep_of(data.theta, data.labels)),
    Case("parc", _ours("parc"), parc_reference),
    Case("knn", _ours("knn"), knn_reference),
    Case("ridge_probe", _ours("ridge_probe"), ridge_reference, 3),
    Case("transrate", _ours("transrate"), transrate_reference),
    Case("sfda", _ours("sfda"), sfda_reference),
    Case("gbc", _ours("gbc"), gbc_reference),
    Case("lda", _ours("lda"), lda_reference, 3),
    Case("nearest_centroid", _ours("nearest_centroid"), nearest_centroid_reference, 3),
    Case("nleep", _ours("nleep"), nleep_reference, 3),
    Case("nleep_full_covariance", None, lambda data: nleep_reference(data, "full"), 1),
    Case("parc_5000", lambda data: parc_of(data.moments(), N_ROWS), lambda data: parc_reference(data, N_ROWS), 3),
)


def timed(score: Callable[[Data], float], data: Data) -> tuple[float, float]:
    start = time.process_time()
    value = score(data)
    return time.process_time() - start, value


def suite(data: Data) -> float:
    moments = data.moments()
    for name in SUITE:
        PROXIES[name](moments)
    return 0.0


def everything(data: Data) -> float:
    """All scores by the public way in, the softmax of the source head's logits included."""
    score_all(data.features, data.labels, source_logits=np.log(data.theta))
    return 0.0


def row(measure: str, values: list[float], unit: str) -> dict[str, object]:
    """The median with its standard error, from the median absolute deviation: one slow round does not widen it."""
    middle = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(np.array(values) - middle)))
    stderr = 1.2533 * spread / np.sqrt(len(values)) if len(values) > 1 else None
    return {"measure": measure, "value": middle, "unit": unit, "n": len(values), "stderr": stderr}


def measured(data: Data, repeats: int) -> Iterator[dict[str, object]]:
    seconds: dict[tuple[str, str], list[float]] = {}
    model = encoder()
    extraction_seconds(model, TOKENS[0])
    differences: dict[str, float] = {}
    for turn in range(repeats):
        seconds.setdefault(("suite", "ours"), []).append(timed(suite, data)[0])
        seconds.setdefault(("everything", "ours"), []).append(timed(everything, data)[0])
        for n_tokens in TOKENS:
            seconds.setdefault(("extraction", str(n_tokens)), []).append(extraction_seconds(model, n_tokens))
        for case in CASES:
            if turn >= case.most_repeats:
                continue
            taken, expected = timed(case.reference, data)
            seconds.setdefault((case.score, "reference"), []).append(taken)
            if case.ours is not None:
                taken, value = timed(case.ours, data)
                seconds.setdefault((case.score, "ours"), []).append(taken)
                differences[case.score] = abs(value - expected)
    path = f"C{data.n_classes}"
    references = [sum(parts) for parts in zip(*(seconds[name, "reference"] for name in SUITE), strict=True)]
    seconds["suite", "reference"] = references
    for (score, side), values in seconds.items():
        yield row(f"proxies/{score}/{path}/{side}/seconds", values, "s")
    for score in (case.score for case in CASES if case.ours is not None):
        ratios = np.divide(seconds[score, "reference"], seconds[score, "ours"]).tolist()
        yield row(f"proxies/{score}/{path}/speedup", ratios, "ratio")
        yield row(f"proxies/{score}/{path}/difference", [differences[score]], "score")
    ratios = np.divide(references, seconds["suite", "ours"]).tolist()
    yield row(f"proxies/suite/{path}/speedup", ratios, "ratio")
    for n_tokens in TOKENS:
        shares = np.divide(seconds["everything", "ours"], seconds["extraction", str(n_tokens)]).tolist()
        yield row(f"proxies/everything/{path}/extraction{n_tokens}", shares, "ratio")


def machine() -> str:
    cpu = next((line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), platform.machine())
    return f"{cpu}, {os.cpu_count()} cores, 1 thread, Python {platform.python_version()}, numpy {np.__version__}"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def commit() -> str:
    here = Path(__file__).parent
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True, metavar="OUT")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 100])
    options = parser.parse_args()
    torch.set_num_threads(1)
    records: list[dict[str, object]] = [{"machine": machine(), "command": " ".join(sys.argv), "commit": commit()}]
    for n_classes in options.classes:
        for record in measured(drawn(n_classes), options.repeats):
            records.append(record)
            print(f"{record['measure']:52} {record['value']:12.6g} {record['unit']:5} n={record['n']}", flush=True)
    options.json.write_text(json.dumps(records, indent=1) + "\n")


if __name__ == "__main__":
    main()
