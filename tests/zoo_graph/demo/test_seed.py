"""The committed table: complete, small, and without a trace of whatever is held out of it."""

import csv
import json
from collections import defaultdict
from pathlib import Path

import pytest

from zoo_graph.demo import protocol, seed
from zoo_graph.errors import UnknownNameError
from zoo_graph.store import Connection


def rows(name: str, folder: Path | None = None) -> list[dict[str, str]]:
    text = ((folder or seed.seed_folder()) / f"{name}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def test_every_candidate_was_measured_on_every_task_with_curve_and_proxies() -> None:
    measured = seed.read_measured()
    assert set(measured.models) == set(protocol.CANDIDATES)
    assert len(measured.scores) == len(measured.models) * len(measured.datasets)
    for row in rows("results"):
        curve, steps = json.loads(row["curve"]), json.loads(row["curve_steps"])
        assert tuple(steps) == protocol.STOPS
        assert len(curve) == len(steps)
        assert 0 < float(row["value"]) <= 1
        assert float(row["seconds"]) > 0
    pairs = defaultdict(set)
    for row in rows("proxies"):
        pairs[row["model"], row["dataset"]].add(row["proxy"])
    wanted = {"nleep", "logme", "hscore", "regularized_hscore", "parc", "knn", "ridge_probe"}
    assert all(pairs[pair] >= wanted for pair in measured.scores)


def test_no_candidate_wins_everywhere() -> None:
    measured = seed.read_measured()
    winners = [max(measured.models, key=lambda model: measured.scores[model, dataset]) for dataset in measured.datasets]
    assert len(set(winners)) >= 4


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in seed.seed_folder().glob("*.csv")) < 2_000_000


def test_truncated_models_name_what_they_were_cut_from() -> None:
    cut = [
        row for row in rows("models") if row["model"].rsplit("@", 1)[-1][:1] in {"L", "a", "l"} and "@" in row["model"]
    ]
    assert len(cut) >= 8
    for row in cut:
        (lineage,) = json.loads(row["derived_from"])
        assert lineage["kind"] == "truncated"


def test_tasks_of_one_source_are_held_out_together() -> None:
    assert set(seed.group_of("reuters-r8")) == {"reuters-r8", "reuters-r52"}
    assert set(seed.group_of("clinc150")) == {"clinc150", "clinc10-domain"}
    with pytest.raises(UnknownNameError, match="reuters-r8"):
        seed.group_of("reuters-r9")


def test_nothing_of_the_target_is_in_the_zoo_it_is_held_out_of(embedded_store: Connection, tmp_path: Path) -> None:
    group = seed.group_of("spam-subject")
    for report in seed.load_without(embedded_store, group, tmp_path / "tables"):
        assert report.n_rejected == 0
    (found,) = embedded_store.read("MATCH (d:Dataset) RETURN collect(d.id) AS ids")
    assert not set(found["ids"]) & set(group)
    for name in ("datasets", "results", "proxies"):
        kept = rows(name, tmp_path / "tables")
        assert kept
        assert not {row["dataset"] for row in kept} & set(group)
        assert len(kept) == len([row for row in rows(name) if row["dataset"] not in group])


def test_it_has_tasks_of_many_sources_and_three_seeds_of_some() -> None:
    measured = seed.read_measured()
    assert len({seed.group_of(dataset) for dataset in measured.datasets}) >= 8
    assert len(measured.datasets) >= 12
    seeds = defaultdict(set)
    for row in rows("results"):
        seeds[row["dataset"]].add((row["model"], row["seed"]))
    thrice = [dataset for dataset, found in seeds.items() if len(found) == 3 * len(measured.models)]
    assert len(thrice) >= 3
