"""Features of a dataset's rows under a backbone, computed once and kept in a content-addressed cache.

The cache holds features and logits only, never a text or an image. Its index is a small SQLite file, so several
processes may share one cache; the least recently used entries go when the byte cap is passed.
"""

import contextlib
import hashlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from selection.backbones import Backbone, Embedded, FloatArray
from selection.datasets import row_digest
from selection.errors import CheckpointError, InputError, SelectionError
from selection.records import Precision

logger = logging.getLogger(__name__)

DEFAULT_MAX_BYTES = 4_000_000_000
# A batch holds at most this many length units (tokens), so long texts come in small batches.
BATCH_UNITS = 8192
INDEX = "index.sqlite"
ORPHAN_SECONDS = 3600

Track = Callable[[Iterable[Any], int], Iterable[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Shapes: `features` (N, D) float32, `logits` (N, source classes) or None. `seconds` as first measured."""

    features: FloatArray
    logits: FloatArray | None
    seconds: float
    sample_digest: str


class FeatureCache:
    """A folder of safetensors files named by their content's key, bounded by `max_bytes`."""

    def __init__(self, folder: Path, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        """Opens or makes the folder.

        Raises:
            InputError: `max_bytes` is not positive.
        """
        if max_bytes <= 0:
            raise InputError(f"the feature cache's cap is {max_bytes} bytes; wanted a positive number")
        self.folder = folder
        self.max_bytes = max_bytes
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._create()
        except sqlite3.OperationalError:  # locked, or the disk is full: not damaged
            raise
        except sqlite3.DatabaseError:  # damaged: what it lists can be computed again
            (folder / INDEX).unlink(missing_ok=True)
            (folder / f"{INDEX}-journal").unlink(missing_ok=True)
            self._create()
        self._sweep()

    def get(self, key: str) -> tuple[Embedded, float] | None:
        """The entry and the seconds it took to compute, or None; a damaged entry counts as absent."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        with closing(self._index()) as index, index:
            row = index.execute("SELECT seconds FROM entry WHERE key = ?", (key,)).fetchone()
            if row is None:
                return None
            index.execute("UPDATE entry SET used = ? WHERE key = ?", (time.time(), key))
        try:
            tensors = load_file(self._path(key))
        except (OSError, SafetensorError):
            tensors = {}
        if "features" not in tensors:
            self._drop(key)
            return None
        return Embedded(tensors["features"], tensors.get("logits")), float(row[0])

    def put(self, key: str, entry: Embedded, seconds: float) -> None:
        """Stores an entry whole or not at all, then drops the least recently used over the cap.

        One that is larger than the cap, or that the disk does not take, is not stored; the log says so.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import save_file

        tensors = {"features": np.ascontiguousarray(entry.features)}
        if entry.logits is not None:
            tensors["logits"] = np.ascontiguousarray(entry.logits)
        n_bytes = sum(tensor.nbytes for tensor in tensors.values())
        if n_bytes > self.max_bytes:
            logger.info("features of %d bytes are not cached: the cap is %d", n_bytes, self.max_bytes)
            return
        draft = self.folder / f"{key}.{os.getpid()}-{time.monotonic_ns()}.part"
        try:
            save_file(tensors, draft)
            n_bytes = draft.stat().st_size
            draft.replace(self._path(key))
        except (OSError, SafetensorError) as error:  # the features are at hand all the same
            draft.unlink(missing_ok=True)
            logger.warning("features are not cached in %s: %s", self.folder, error)
            return
        with closing(self._index()) as index, index:
            index.execute("INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?)", (key, n_bytes, seconds, time.time()))
        self._shrink(keep=key)

    def remember(self, signature: str, digest: str) -> None:
        """Notes the digest of the checkpoint that `checkpoint_signature` tells apart, for `holds`."""
        with closing(self._index()) as index, index:
            index.execute("INSERT OR REPLACE INTO checkpoint VALUES (?, ?)", (signature, digest))

    def holds(self, signature: str, sample_digest: str) -> bool:
        """Whether these rows' features are here under the checkpoint as it was when it was last opened.

        Reads neither weights nor features: for planning, where `extract` then makes sure.
        """
        with closing(self._index()) as index:
            row = index.execute("SELECT digest FROM checkpoint WHERE signature = ?", (signature,)).fetchone()
            key = feature_key(row[0], sample_digest) if row else ""
            return index.execute("SELECT 1 FROM entry WHERE key = ?", (key,)).fetchone() is not None

    @property
    def n_bytes(self) -> int:
        """Bytes held now."""
        with closing(self._index()) as index:
            return int(index.execute("SELECT COALESCE(SUM(bytes), 0) FROM entry").fetchone()[0])

    def _create(self) -> None:
        with closing(self._index()) as index, index:
            index.execute("CREATE TABLE IF NOT EXISTS entry (key TEXT PRIMARY KEY, bytes INT, seconds REAL, used REAL)")
            index.execute("CREATE TABLE IF NOT EXISTS checkpoint (signature TEXT PRIMARY KEY, digest TEXT)")

    def _sweep(self) -> None:
        """Removes files that a killed process left without an entry; young ones may be another's work under way."""
        with closing(self._index()) as index:
            listed = {f"{key}.safetensors" for (key,) in index.execute("SELECT key FROM entry")}
        for path in [*self.folder.glob("*.part"), *self.folder.glob("*.safetensors")]:
            with contextlib.suppress(FileNotFoundError):
                if path.name not in listed and time.time() - path.stat().st_mtime > ORPHAN_SECONDS:
                    path.unlink()

    def _shrink(self, keep: str) -> None:
        with closing(self._index()) as index:
            rows = index.execute("SELECT key, bytes FROM entry ORDER BY used").fetchall()
        excess = sum(n for _, n in rows) - self.max_bytes
        for key, n_bytes in rows:
            if excess <= 0:
                return
            if key != keep:
                self._drop(key)
                excess -= n_bytes

    def _drop(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)
        with closing(self._index()) as index, index:
            index.execute("DELETE FROM entry WHERE key = ?", (key,))

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.safetensors"

    def _index(self) -> sqlite3.Connection:
        return sqlite3.connect(self.folder / INDEX, timeout=60)


def digest_of_rows(rows: Sequence[Any]) -> str:
    """A digest of the rows' contents in their order (24 hex digits)."""
    return hashlib.blake2b(b"".join(map(row_digest, rows)), digest_size=12).hexdigest()


def feature_key(checkpoint_digest: str, sample_digest: str) -> str:
    """The cache's key of these rows' features under this checkpoint."""
    return hashlib.blake2b(f"{checkpoint_digest}|{sample_digest}|1".encode(), digest_size=16).hexdigest()


def checkpoint_signature(folder: Path, max_length: int, precision: Precision) -> str:
    """Tells a checkpoint, as it is read, apart by its files' names, sizes and times, without reading them."""
    files = sorted((path.name, path.stat()) for path in folder.resolve().iterdir() if path.is_file())
    text = "|".join(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in files)
    return hashlib.blake2b(f"{folder.resolve()}|{max_length}|{precision}|{text}".encode(), digest_size=16).hexdigest()


def extract(
    backbone: Backbone,
    rows: Sequence[Any],
    *,
    cache: FeatureCache | None = None,
    batch_size: int = 64,
    track: Track | None = None,
) -> Features:
    """Embeds every row, in batches of like length, or takes the result from the cache.

    A batch that does not fit the memory is halved, down to one row. `track` is given the batches (row indices) and
    their number, and may end the extraction by raising: nothing is cached then.

    Raises:
        InputError: no rows.
        CheckpointError: the checkpoint fails on these rows, or one row alone does not fit the memory, or its
            features or logits are not finite.
        DatasetError: an image cannot be read.
    """
    if not rows:
        raise InputError(f"{backbone.name}: got no rows; wanted at least one to extract features of")
    sample_digest = digest_of_rows(rows)
    key = feature_key(backbone.digest, sample_digest)
    hit = cache.get(key) if cache else None
    if hit is not None:
        return Features(hit[0].features, hit[0].logits, hit[1], sample_digest)
    start = time.perf_counter()
    embedded = _embed_all(backbone, rows, batch_size, track)
    seconds = time.perf_counter() - start
    for what, array in (("features", embedded.features), ("logits", embedded.logits)):
        if array is not None and not np.isfinite(array).all():
            raise CheckpointError(
                f"{backbone.name}: its {what} hold nan or infinity; the checkpoint is not usable here"
            )
    if cache:
        cache.put(key, embedded, seconds)
    return Features(embedded.features, embedded.logits, seconds, sample_digest)


def _embed_all(backbone: Backbone, rows: Sequence[Any], batch_size: int, track: Track | None) -> Embedded:
    try:
        lengths = np.asarray(backbone.lengths(rows))
    except Exception as error:  # a tokenizer may raise anything
        raise _failed(backbone, error) from error
    order = np.argsort(-lengths, kind="stable")  # the longest first: a lack of memory shows at once
    batches = list(_batches(order, lengths, batch_size))
    parts: list[Embedded] = []
    for batch in track(batches, len(batches)) if track else batches:
        parts += _embed_halving(backbone, [rows[i] for i in batch])
    features = _in_order([part.features for part in parts], order, backbone.name)
    logits = [part.logits for part in parts if part.logits is not None]
    return Embedded(features, _in_order(logits, order, backbone.name) if logits else None)


def _in_order(pieces: list[FloatArray], order: Any, name: str) -> FloatArray:
    widths = {piece.shape[1] for piece in pieces}
    if len(widths) > 1 or sum(map(len, pieces)) != len(order):
        raise CheckpointError(
            f"{name}: its batches have {sum(map(len, pieces))} rows and {sorted(widths)} columns; wanted {len(order)} "
            "rows of one width"
        )
    whole = np.empty((len(order), widths.pop()), dtype=np.float32)
    whole[order] = np.concatenate(pieces)
    return whole


def _batches(order: Any, lengths: Any, batch_size: int) -> Iterable[Any]:
    start = 0
    while start < len(order):
        size = max(1, min(batch_size, BATCH_UNITS // max(1, int(lengths[order[start]]))))
        yield order[start : start + size]
        start += size


def _embed_halving(backbone: Backbone, rows: list[Any]) -> list[Embedded]:
    try:
        return [backbone.embed(rows)]
    except SelectionError:
        raise
    except Exception as error:  # a checkpoint's code may raise anything
        if not is_out_of_memory(error):
            raise _failed(backbone, error) from error
        if len(rows) == 1:
            raise CheckpointError(f"{backbone.name}: one row alone does not fit the memory: {error}") from error
    half = len(rows) // 2
    return _embed_halving(backbone, rows[:half]) + _embed_halving(backbone, rows[half:])


def _failed(backbone: Backbone, error: Exception) -> CheckpointError:
    return CheckpointError(f"{backbone.name} fails on these rows ({type(error).__name__}): {error}")


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error is a lack of memory, on a GPU or on the host."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text
