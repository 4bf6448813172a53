import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selection.backbones import CallableBackbone, Embedded
from selection.errors import CheckpointError, InputError
from selection.features import BATCH_UNITS, FeatureCache, extract

ROWS = [f"secret-{'x' * (i % 7)}-{i}" for i in range(50)]


class Counting:
    """A backbone that notes the size of each batch; features are the row's length and number."""

    def __init__(self, embed: Callable[[list[Any]], Embedded] | None = None, digest: str = "v1") -> None:
        self.name, self.modality, self.digest, self.n_parameters = "counting", "text", digest, None
        self.batches: list[list[Any]] = []
        self._embed = embed or self.literal

    @staticmethod
    def literal(rows: list[Any]) -> Embedded:
        features = np.array([[len(row), hash(row) % 1000] for row in rows], dtype=np.float32)
        return Embedded(features, features * 2)

    def lengths(self, rows: Sequence[Any]) -> list[int]:
        return [len(row) for row in rows]

    def embed(self, rows: Sequence[Any]) -> Embedded:
        self.batches.append(list(rows))
        return self._embed(list(rows))


def entry(level: float, n: int = 100) -> Embedded:
    return Embedded(np.full((n, 10), level, dtype=np.float32))


def test_rows_come_back_in_their_order_though_batches_are_sorted_by_length() -> None:
    backbone = Counting()
    found = extract(backbone, ROWS, batch_size=8)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found.features, Counting.literal(ROWS).features)
    np.testing.assert_array_equal(found.logits, found.features * 2)
    lengths = [len(row) for batch in backbone.batches for row in batch]
    assert lengths == sorted(lengths, reverse=True)
    assert max(map(len, backbone.batches)) == 8


def test_long_rows_come_in_small_batches() -> None:
    backbone = Counting()
    extract(backbone, ["x" * (BATCH_UNITS // 3)] * 10, batch_size=64)  # type: ignore[arg-type]
    assert [len(batch) for batch in backbone.batches] == [3, 3, 3, 1]


def test_a_second_time_comes_from_the_cache_without_a_forward_pass(tmp_path: Path) -> None:
    backbone, cache = Counting(), FeatureCache(tmp_path)
    first = extract(backbone, ROWS, cache=cache)  # type: ignore[arg-type]
    n_batches = len(backbone.batches)
    second = extract(backbone, ROWS, cache=FeatureCache(tmp_path))  # type: ignore[arg-type]
    assert len(backbone.batches) == n_batches
    np.testing.assert_array_equal(first.features, second.features)
    np.testing.assert_array_equal(first.logits, second.logits)
    assert (second.seconds, second.sample_digest) == (first.seconds, first.sample_digest)


def test_other_rows_another_order_or_another_backbone_are_computed_anew(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    for rows, digest in ((ROWS, "v1"), (ROWS[::-1], "v1"), (ROWS[:-1], "v1"), (ROWS, "v2")):
        backbone = Counting(digest=digest)
        extract(backbone, rows, cache=cache)  # type: ignore[arg-type]
        assert backbone.batches


def test_no_text_is_in_the_cache(tmp_path: Path) -> None:
    extract(Counting(), ROWS, cache=FeatureCache(tmp_path))  # type: ignore[arg-type]
    content = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert len(content) > 1000
    assert b"secret" not in content


def test_the_least_recently_used_entries_go_when_the_cap_is_passed(tmp_path: Path) -> None:
    size = 4300  # a thousand float32 and the file's header
    cache = FeatureCache(tmp_path, max_bytes=3 * size)
    for key in "abc":
        cache.put(key, entry(1), 0)
        time.sleep(0.002)
    assert cache.get("a") is not None  # used again, so "b" is the oldest
    cache.put("d", entry(2), 0)
    assert [key for key in "abcd" if cache.get(key) is not None] == ["a", "c", "d"]
    assert cache.n_bytes <= 3 * size
    assert len(list(tmp_path.glob("*.safetensors"))) == 3


def test_an_entry_larger_than_the_cap_is_not_stored(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, max_bytes=1000)
    cache.put("a", entry(1), 0)
    assert (cache.get("a"), cache.n_bytes, list(tmp_path.glob("*.safetensors"))) == (None, 0, [])
    with pytest.raises(InputError, match="cap is 0 bytes"):
        FeatureCache(tmp_path, max_bytes=0)


@pytest.mark.parametrize("content", [b"", b"torn", None])
def test_a_torn_file_counts_as_absent(tmp_path: Path, content: bytes | None) -> None:
    cache, backbone = FeatureCache(tmp_path), Counting()
    first = extract(backbone, ROWS, cache=cache)  # type: ignore[arg-type]
    (path,) = tmp_path.glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-40] if content is None else content)
    backbone.batches.clear()
    again = extract(backbone, ROWS, cache=cache)  # type: ignore[arg-type]
    assert backbone.batches
    np.testing.assert_array_equal(first.features, again.features)
    assert cache.get(path.stem) is not None


def test_a_damaged_index_and_what_killed_processes_left_are_cleared(tmp_path: Path) -> None:
    (tmp_path / "index.sqlite").write_bytes(b"no database at all" * 100)
    old, young = tmp_path / "a.1-2.part", tmp_path / "b.1-2.part"
    for path in (old, young, tmp_path / "c.safetensors"):
        path.write_bytes(b"x")
    for path in (old, tmp_path / "c.safetensors"):
        os.utime(path, (time.time() - 9999,) * 2)
    cache = FeatureCache(tmp_path)
    cache.put("d", entry(1), 0.5)
    assert cache.get("d") is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.1-2.part", "d.safetensors", "index.sqlite"]


def test_a_full_disk_costs_the_cache_and_not_the_features(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import safetensors.numpy

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors.numpy, "save_file", full)
    found = extract(Counting(), ROWS, cache=FeatureCache(tmp_path))  # type: ignore[arg-type]
    assert found.features.shape == (50, 2)
    assert "features are not cached" in caplog.text


def put_many(folder: Path, name: str) -> None:
    cache = FeatureCache(folder, max_bytes=60_000)
    for i in range(30):
        cache.put(f"{name}{i}", entry(i), 0.0)
        found = cache.get(f"{name}{i}")
        if found is not None and not (found[0].features == i).all():
            raise ValueError(f"{name}{i} holds another's features")
        cache.put("shared", entry(7), 0.0)


def test_two_processes_share_a_cache(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=put_many, args=(tmp_path, name)) for name in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0]
    cache = FeatureCache(tmp_path)
    assert cache.n_bytes == sum(path.stat().st_size for path in tmp_path.glob("*.safetensors")) <= 60_000
    shared = cache.get("shared")
    assert shared is not None
    assert (shared[0].features == 7).all()


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("CUDA out of memory. Tried"), RuntimeError("can't allocate memory")]
)
def test_a_batch_that_does_not_fit_is_halved_until_it_fits(error: Exception) -> None:
    def small(rows: list[Any]) -> Embedded:
        if len(rows) > 3:
            raise error
        return Counting.literal(rows)

    backbone = Counting(small)
    found = extract(backbone, ROWS, batch_size=16)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found.features, Counting.literal(ROWS).features)
    assert {len(batch) for batch in backbone.batches} == {16, 8, 4, 2}


def failing(error: Exception) -> Callable[[list[Any]], Embedded]:
    def embed(rows: list[Any]) -> Embedded:
        raise error

    return embed


@pytest.mark.parametrize(
    ("embed", "message"),
    [
        (failing(MemoryError("full")), "one row alone does not fit the memory"),
        (failing(RuntimeError("shapes differ")), r"fails on these rows \(RuntimeError\): shapes differ"),
        (failing(IndexError("index out of range in self")), r"\(IndexError\): index out of range"),
        (lambda rows: Embedded(np.full((len(rows), 2), np.nan, np.float32)), "its features hold nan or infinity"),
        (
            lambda rows: Embedded(np.ones((len(rows), 2), np.float32), np.full((len(rows), 2), np.inf, np.float32)),
            "its logits hold nan or infinity",
        ),
        (lambda rows: Embedded(np.ones((len(rows), len(rows)), np.float32)), "wanted 50 rows of one width"),
        (lambda rows: Embedded(np.ones((1, 2), np.float32)), "wanted 50 rows of one width"),
    ],
)
def test_whatever_goes_wrong_is_the_checkpoints_failure(
    tmp_path: Path, embed: Callable[[list[Any]], Embedded], message: str
) -> None:
    with pytest.raises(CheckpointError, match=f"counting.*{message}"):
        extract(Counting(embed), ROWS, batch_size=16, cache=FeatureCache(tmp_path))  # type: ignore[arg-type]
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_users_function_that_fails_is_named() -> None:
    def broken(rows: list[Any]) -> Any:
        raise KeyError("vocabulary")

    with pytest.raises(CheckpointError, match=r"mine fails on these rows \(KeyError\)"):
        extract(CallableBackbone("mine", broken, digest="1"), ROWS)


def test_no_rows_have_no_features() -> None:
    with pytest.raises(InputError, match="no rows"):
        extract(CallableBackbone("mine", lambda rows: [[1.0]], digest="1"), [])


def test_progress_is_told_batch_by_batch() -> None:
    seen = []

    def track(batches: Any, total: int) -> Any:
        seen.append(total)
        return batches

    extract(Counting(), ROWS, batch_size=10, track=track)  # type: ignore[arg-type]
    assert seen == [5]
