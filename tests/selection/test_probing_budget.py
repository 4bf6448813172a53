"""Probing within a time: a clock that only work moves, and backbones whose work is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selection import backbones, proxies
from selection.backbones import Embedded
from selection.datasets import Dataset
from selection.errors import CheckpointError, InputError
from selection.features import FeatureCache
from selection.planning import Prospects, order_by
from selection.probing import Probed, probe
from selection.records import Candidate

ROWS = 200
NAMES = ["nearest_centroid"]


@dataclass
class World:
    """Seconds a row by model, and a clock that embedding and opening move."""

    row_seconds: Mapping[str, float]
    open_seconds: float = 0.0
    now: float = 100.0
    opened: list[str] = field(default_factory=list)
    batches: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def open(self, source: str, *, name: str, **_: Any) -> "Fake":
        if name not in self.row_seconds:
            raise CheckpointError(f"no checkpoint at {source}")
        self.now += self.open_seconds
        self.opened.append(name)
        return Fake(name, self)


@dataclass
class Fake:
    name: str
    world: World
    modality: str = "text"
    n_parameters: int = 10_000_000

    @property
    def digest(self) -> str:
        return f"digest of {self.name}"

    def lengths(self, rows: Sequence[Any]) -> list[int]:
        return [1] * len(rows)

    def embed(self, rows: Sequence[Any]) -> Embedded:
        seconds = self.world.row_seconds[self.name] * len(rows)
        self.world.now += seconds
        self.world.batches.append(seconds)
        return Embedded(np.array([[len(row), float(row.split()[1]), 1.0] for row in rows], dtype=np.float32))


@pytest.fixture
def many_texts() -> Dataset:
    rows = tuple(f"{'good' if i % 2 else 'bad'} {i}" for i in range(ROWS))
    labels = np.arange(ROWS) % 2
    parts = np.arange(ROWS), np.arange(2), np.arange(2)
    return Dataset("toy", "text", rows, labels, ("a", "b"), *parts, digest="d")


@pytest.fixture
def folders(tmp_path: Path) -> list[Candidate]:
    found = []
    for name in "abcdef":
        (tmp_path / name).mkdir()
        found.append(Candidate(name, str(tmp_path / name), n_parameters=10_000_000))
    return found


def probed_in(world: World, dataset: Dataset, given: list[Candidate], cache: Path, **options: Any) -> Probed:
    return probe(dataset, given, FeatureCache(cache), names=NAMES, clock=world.clock, **options)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(dict.fromkeys("abcdef", 0.01))
    monkeypatch.setattr(backbones, "open_backbone", made.open)
    return made


@pytest.mark.parametrize("seed", range(40))
def test_the_budget_is_passed_by_no_more_than_one_batch(
    tmp_path: Path, many_texts: Dataset, folders: list[Candidate], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    world = World({name: float(generator.lognormal(-5, 2)) for name in "abcdef"})
    monkeypatch.setattr(backbones, "open_backbone", world.open)
    budget = float(generator.lognormal(0.5, 1.5))
    probed = probed_in(world, many_texts, folders, tmp_path / "cache", budget_seconds=budget)
    assert probed.seconds == pytest.approx(world.now - 100)
    assert probed.seconds <= budget + max(world.batches, default=0)
    names = [*probed.scores, *(one.model for one in probed.cut_off), *probed.not_begun]
    assert sorted(names) == list("abcdef")
    assert not probed.failures


def test_models_no_slower_than_expected_never_pass_the_budget(
    tmp_path: Path, many_texts: Dataset, folders: list[Candidate], world: World
) -> None:
    world.row_seconds = dict.fromkeys("abcdef", 1e-4)
    for budget in (0.1, 0.5, 1.0, 3.0):
        start = world.now
        probed_in(world, many_texts, folders, tmp_path / f"cache{budget}", budget_seconds=budget)
        assert world.now - start <= budget


def test_a_probe_that_runs_out_of_time_is_named_and_leaves_the_cache_as_it_was(
    tmp_path: Path, many_texts: Dataset, folders: list[Candidate], world: World
) -> None:
    world.row_seconds = {"a": 0.0, "b": 0.02}
    probed = probed_in(world, many_texts, folders[:2], tmp_path / "cache", budget_seconds=2.0)
    assert list(probed.scores) == ["a"]
    (cut,) = probed.cut_off
    assert (cut.model, cut.dataset) == ("b", "toy")
    assert cut.reason == "out of the proxies' time: 64 of 200 rows were embedded"
    assert probed.failures == ()
    assert len(list((tmp_path / "cache").glob("*.safetensors"))) == 1
    assert not list((tmp_path / "cache").glob("*.part"))
    again = probed_in(world, many_texts, folders[:2], tmp_path / "cache", budget_seconds=60.0)
    assert set(again.scores) == {"a", "b"}


def test_proxies_are_cut_off_too_and_the_features_stay(
    tmp_path: Path, many_texts: Dataset, folders: list[Candidate], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.row_seconds = {"a": 0.0, "b": 0.0}

    def slow(moments: proxies.Moments) -> float:
        world.now += 5.0
        return 1.0

    monkeypatch.setitem(proxies.PROXIES, "logme", slow)
    cache, names = FeatureCache(tmp_path / "cache"), ["logme", "nearest_centroid"]
    probed = probe(many_texts, folders[:2], cache, names=names, clock=world.clock, budget_seconds=4.0)
    assert probed.scores == {}
    (cut,) = probed.cut_off
    assert cut.reason == "out of the proxies' time: its features are cached, 1 of 2 proxies were computed"
    assert probed.not_begun == ("b",)
    assert len(list((tmp_path / "cache").glob("*.safetensors"))) == 1


def test_without_a_budget_all_are_probed_as_given(
    tmp_path: Path, many_texts: Dataset, folders: list[Candidate], world: World
) -> None:
    probed = probed_in(world, many_texts, folders, tmp_path / "cache")
    assert world.opened == list("abcdef")
    assert (probed.cut_off, probed.not_begun) == ((), ())
    plenty = probed_in(world, many_texts, folders, tmp_path / "other", budget_seconds=1e9)
    assert plenty.scores.keys() == probed.scores.keys()


def test_what_a_probe_took_decides_whether_the_next_still_fits(
    tmp_path: Path, many_texts: Dataset, folders: list[Candidate], world: World
) -> None:
    world.row_seconds = dict.fromkeys("abcdef", 0.02)  # 4 seconds each, far more than expected
    probed = probed_in(world, many_texts, folders, tmp_path / "cache", budget_seconds=5.5)
    assert world.opened == ["a"]
    assert probed.not_begun == tuple("bcdef")
    assert probed.cut_off == ()


def test_cached_features_are_expected_to_be_free_and_come_first(
    tmp_path: Path, many_texts: Dataset, folders: list[Candidate], world: World
) -> None:
    world.row_seconds = dict.fromkeys("abcdef", 1.0)
    probed_in(world, many_texts, folders[4:5], tmp_path / "cache")
    order = order_by("gain", Prospects({}, dict.fromkeys("abcdef", 0.1)))
    world.opened.clear()
    probed = probed_in(world, many_texts, folders, tmp_path / "cache", order=order, budget_seconds=3.0)
    assert world.opened[0] == "e"
    assert list(probed.scores) == ["e"]
    (Path(folders[4].source or "") / "config.json").write_text("{}")  # another checkpoint now, so far as one can see
    world.opened.clear()
    probed_in(world, many_texts, folders, tmp_path / "cache", order=order, budget_seconds=3.0)
    assert world.opened[:1] == ["a"]


def test_far_below_the_border_nothing_is_opened_and_a_failure_costs_no_one_his_turn(
    tmp_path: Path, many_texts: Dataset, folders: list[Candidate], world: World
) -> None:
    world.row_seconds = dict.fromkeys("bcdef", 0.001)
    order = order_by("gain", Prospects({}, {"a": 0.9, "b": 0.2, "c": 0.3, "d": 1e-9}))
    probed = probed_in(world, many_texts, folders, tmp_path / "cache", order=order, budget_seconds=100.0)
    assert world.opened == ["c", "b"]
    assert [failure.model for failure in probed.failures] == ["a"]
    assert probed.not_begun == ("d", "e", "f")


def test_a_budget_must_be_positive(tmp_path: Path, many_texts: Dataset, world: World) -> None:
    with pytest.raises(InputError, match="wanted a positive number"):
        probed_in(world, many_texts, [], tmp_path / "cache", budget_seconds=0.0)


def test_a_real_checkpoint_is_known_again_without_reading_it(tmp_path: Path, texts: Dataset, bert: Path) -> None:
    cache = FeatureCache(tmp_path / "cache")
    one = [Candidate("bert", str(bert))]
    probe(texts, one, cache, names=NAMES)
    seconds: list[float] = []

    def only_looking(expected: Mapping[str, float], begun: Sequence[str], left: float | None) -> None:
        seconds.append(expected["bert"])

    probe(texts, one, cache, names=NAMES, order=only_looking)
    probe(texts, one, FeatureCache(tmp_path / "empty"), names=NAMES, order=only_looking)
    assert seconds[0] < seconds[1]
