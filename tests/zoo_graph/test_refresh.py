import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from zoo_graph import refresh as refresh_module
from zoo_graph.errors import InputError, RefreshBusyError, UnknownNameError
from zoo_graph.ingest import forget, ingest
from zoo_graph.lease import Lease
from zoo_graph.records import Dataset, Run
from zoo_graph.refresh import JOBS, RefreshReport, refresh
from zoo_graph.store import Connection

DERIVED = (
    ("MATCH (a:Model)-[r:SCORED]->(b:Dataset) RETURN collect([a.id, b.id, r.score, r.metric, r.n, r.spread]) AS rows"),
    ("MATCH (a:Model)-[r:PERFORMS_LIKE]->(b:Model) RETURN collect([a.id, b.id, r.score, r.overlap]) AS rows"),
    ("MATCH (a:Dataset)-[r:SIMILAR_TO]->(b:Dataset) RETURN collect([a.id, b.id, r.score, r.basis]) AS rows"),
    ("MATCH (a:Model)-[r:IN]->(b:Community) RETURN collect([a.id, b.id, b.size, b.label, b.quality]) AS rows"),
    ("MATCH (a:Community)-[r:REPRESENTED_BY]->(b:Model) RETURN collect([a.id, b.id]) AS rows"),
)
RUNS = (
    "MATCH (:Model)-[r:SCORED|PERFORMS_LIKE|IN]->() WITH DISTINCT r.run AS run ORDER BY run RETURN collect(run) AS runs"
)


def derived(store: Connection) -> list[list[list[object]]]:
    return [sorted(store.read(query)[0]["rows"], key=str) for query in DERIVED]


def written(report: RefreshReport) -> dict[str, int | None]:
    return {job.job: None if job.changes is None else job.changes.written for job in report.jobs}


def test_a_refresh_writes_scores_similarities_and_communities_with_their_run(
    store: Connection, fill, two_families, tmp_path: Path
) -> None:
    fill(store, two_families)
    report = refresh(store, tmp_path)
    scored, alike, datasets, members, leaders = derived(store)
    assert len(scored) == 81
    assert ["c0", "d0", 0.6, "accuracy", 1, None] in scored
    within, across = ([score for a, b, score, _ in alike if (a[0] == b[0]) is same] for same in (True, False))
    assert len(within) == 20  # all pairs of a family
    assert min(within) > max(across)
    assert all((int(a[1]) - int(b[1])) % 2 == 0 for a, b, *_ in datasets)
    assert len({community for model, community, *_ in members if model.startswith("a")}) == 1
    assert len(leaders) == 3  # two families, and c0 alone
    runs = {job.run for job in report.jobs}
    assert set(store.read(RUNS)[0]["runs"]) <= runs
    done = store.read("MATCH (r:Run) WHERE r.id IN $ids RETURN collect(r.status) AS status", ids=sorted(runs))
    assert done[0]["status"] == ["done"] * 4
    assert any("81 results" in line for line in report.lines())


def test_a_model_without_results_is_in_no_community(store: Connection, fill, two_families, tmp_path: Path) -> None:
    fill(store, two_families)
    store.write(lambda transaction: transaction.run("CREATE (:Model {id: 'unmeasured'})"))
    refresh(store, tmp_path)
    assert "unmeasured" not in {model for model, *_ in derived(store)[3]}


def test_a_second_refresh_writes_nothing(store: Connection, fill, two_families, tmp_path: Path) -> None:
    fill(store, two_families)
    refresh(store, tmp_path)
    version = store.version()
    report = refresh(store, tmp_path)
    assert set(written(report).values()) == {None}
    assert store.version() == version
    assert "communities: unchanged, skipped" in report.lines()


def test_what_no_score_depends_on_runs_no_job(store: Connection, fill, two_families, tmp_path: Path) -> None:
    fill(store, two_families)
    refresh(store, tmp_path)
    fill(store, {"a0": {"d0": 0.1}}, metric="loss")  # another metric than the dataset's
    assert set(written(refresh(store, tmp_path)).values()) == {None}


def test_a_new_result_changes_only_what_depends_on_it(store: Connection, fill, two_families, tmp_path: Path) -> None:
    fill(store, two_families)
    first = refresh(store, tmp_path)
    fill(store, {"c0": {"d1": 0.5}})
    second = refresh(store, tmp_path)
    assert written(second)["scores"] == 1
    runs = store.read("MATCH ()-[r:SCORED]->() RETURN collect(r.run) AS runs")[0]["runs"]
    assert runs.count(first.jobs[0].run) == 81  # the others keep the run that made them
    assert runs.count(second.jobs[0].run) == 1


def test_the_order_of_imports_does_not_matter(fresh_zoo, fill, two_families) -> None:
    one, other = fresh_zoo("one"), fresh_zoo("other")
    fill(one, two_families)
    for model in sorted(two_families, reverse=True):
        fill(other, {model: two_families[model]})
        if model == "b3":
            refresh(other)
    refresh(one)
    refresh(other)
    assert derived(one) == derived(other)


def test_edges_that_were_lost_are_made_again(store: Connection, fill, two_families, tmp_path: Path) -> None:
    fill(store, two_families)
    refresh(store, tmp_path)
    before = derived(store)
    store.write(lambda transaction: transaction.run("MATCH (:Model {id: 'a0'})-[r:PERFORMS_LIKE]-() DELETE r"))
    report = refresh(store, tmp_path)
    assert derived(store) == before
    assert [job for job, n in written(report).items() if n] == ["similarity"]


def test_a_held_out_dataset_leaves_no_trace(fresh_zoo, fill, two_families) -> None:
    with_target, without = fresh_zoo("with"), fresh_zoo("without")
    fill(with_target, two_families)
    fill(with_target, {"only-target": {"d7": 0.9}})
    fill(without, {model: {d: s for d, s in row.items() if d != "d7"} for model, row in two_families.items()})
    refresh(with_target)
    refresh(with_target, exclude_datasets=["d7"])
    refresh(without)
    assert derived(with_target) == derived(without)


def test_embedded_datasets_are_joined_to_their_nearest_beside_performance_profiles(
    store: Connection, fill, two_families, tmp_path: Path
) -> None:
    fill(store, two_families)
    before = refresh(store, tmp_path)
    profiles = derived(store)[2]
    told = [("d0", (1, 0), "e"), ("d1", (0, 1), "e"), ("new", (1, 0.1), "e"), ("d2", (0, 1), "f"), ("d3", (1, 1), "f")]
    records = [Dataset(name, embedding=tuple(map(float, numbers)), embedding_by=by) for name, numbers, by in told]
    ingest(store, records, Run.begun("import", "0", {}))
    report = refresh(store, tmp_path)
    assert [job for job, n in written(report).items() if n is not None] == ["dataset similarity"]
    found = derived(store)[2]
    assert [row for row in found if row[3] == "performance profile"] == profiles
    (edge,) = [row for row in found if row[3] == "probe embedding"]
    assert (edge[:2], edge[2] > 0.9) == (["d0", "new"], True)  # those of f are opposite about their mean
    by = store.read("MATCH ()-[r:SIMILAR_TO {basis: 'probe embedding'}]->() RETURN r.by AS by, r.run AS run")
    assert by == [{"by": "e", "run": report.jobs[1].run}]
    assert report.jobs[1].run != before.jobs[1].run
    forget(store, "import-0")
    refresh(store, tmp_path)
    assert derived(store)[2] == profiles


def test_a_held_out_dataset_is_in_no_similarity_of_embeddings(store: Connection, fill, tmp_path: Path) -> None:
    fill(store, {f"m{n}": {"d0": n / 10, "d1": n / 20, "d2": n / 30} for n in range(4)})
    records = [Dataset(f"d{n}", embedding=(1.0, n / 10), embedding_by="e") for n in range(3)]
    ingest(store, [*records, Dataset("far", embedding=(-9.0, 0.0), embedding_by="e")], Run.begun("import", "0", {}))
    refresh(store, tmp_path)
    assert len(derived(store)[2]) == 3
    refresh(store, tmp_path, exclude_datasets=["d2"])
    assert [row[:2] for row in derived(store)[2]] == [["d0", "d1"]]
    refresh(store, tmp_path)
    assert len(derived(store)[2]) == 3


def test_a_held_out_dataset_comes_back(store: Connection, fill, two_families, tmp_path: Path) -> None:
    fill(store, two_families)
    refresh(store, tmp_path)
    before = derived(store)
    refresh(store, tmp_path, exclude_datasets=["d7"])
    assert derived(store) != before
    refresh(store, tmp_path)
    assert derived(store) == before


def test_a_removed_model_takes_its_derived_edges_along(store: Connection, fill, two_families, tmp_path: Path) -> None:
    fill(store, two_families)
    refresh(store, tmp_path)
    store.write(lambda transaction: transaction.run("MATCH (m:Model {id: 'a0'}) DETACH DELETE m"))
    refresh(store, tmp_path)
    scored, alike, _, members, leaders = derived(store)
    assert "a0" not in {name for rows in (scored, alike, members, leaders) for row in rows for name in row[:2]}
    assert len(members) == 10


def test_only_the_jobs_asked_for_are_done(store: Connection, fill, two_families, tmp_path: Path) -> None:
    fill(store, two_families)
    report = refresh(store, tmp_path, only=["communities"])
    assert [job.job for job in report.jobs] == ["communities"]
    scored, alike, _, members, _ = derived(store)
    assert (len(scored), len(alike), len(members)) == (0, 0, 11)


def test_one_job_or_dataset_by_itself_is_one_name(store: Connection, fill, two_families, tmp_path: Path) -> None:
    fill(store, two_families)
    report = refresh(store, tmp_path, only="scores", exclude_datasets="d0")
    assert [job.job for job in report.jobs] == ["scores"]
    assert (
        "d0" not in store.read("MATCH (:Model)-[:SCORED]->(d:Dataset) RETURN collect(DISTINCT d.id) AS ids")[0]["ids"]
    )


def test_an_unknown_job_or_dataset_is_refused(store: Connection, fill, two_families, tmp_path: Path) -> None:
    fill(store, two_families)
    with pytest.raises(InputError, match="wanted some of: scores"):
        refresh(store, tmp_path, only=["comunities"])  # type: ignore[list-item]
    with pytest.raises(UnknownNameError, match="d7"):
        refresh(store, tmp_path, exclude_datasets=["d77"])


def test_an_empty_zoo_refreshes_to_nothing(store: Connection, tmp_path: Path) -> None:
    report = refresh(store, tmp_path)
    assert derived(store) == [[], [], [], [], []]
    assert report.n_results == 0


def test_progress_is_shown_job_by_job(store: Connection, fill, two_families, tmp_path: Path) -> None:
    seen: list[object] = []

    def track(sequence, description, total=None):
        for item in sequence:
            seen.append((description, total, item))
            yield item

    fill(store, two_families)
    refresh(store, tmp_path, track=track)
    assert seen == [("refresh", 4, job) for job in JOBS]


# -- exclusive


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_is_no_whole_number_of_32_bits_is_refused(store: Connection, tmp_path: Path, seed: int) -> None:
    with pytest.raises(InputError, match=f"got the seed {seed}; wanted a whole number from 0 to"):
        refresh(store, tmp_path, seed=seed)


def test_a_second_refresh_at_the_same_time_is_told_so(store: Connection, fill, two_families, tmp_path: Path) -> None:
    fill(store, two_families)
    with Lease.take(store), pytest.raises(RefreshBusyError, match=f"process {os.getpid()}"):
        refresh(store, tmp_path)
    assert written(refresh(store, tmp_path))["scores"] == 81


def test_a_lease_that_ran_out_is_taken_over_and_its_owner_cannot_write(store: Connection) -> None:
    late = Lease.take(store)
    store.write(lambda transaction: transaction.run("MATCH (g:Graph) SET g.lease_until = 0"))
    with Lease.take(store) as lease:
        with pytest.raises(RefreshBusyError, match="took over"):
            late.write(lambda transaction: transaction.run("CREATE (:Model {id: 'late'})"))
        lease.write(lambda transaction: transaction.run("CREATE (:Model {id: 'mine'})"))
    assert store.read("MATCH (m:Model) RETURN collect(m.id) AS ids")[0]["ids"] == ["mine"]


def test_the_lease_of_a_dead_process_is_taken_over_at_once(store: Connection) -> None:
    Lease.take(store)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    store.write(lambda transaction: transaction.run("MATCH (g:Graph) SET g.lease_pid = $pid", pid=gone.pid))
    with Lease.take(store) as lease:
        lease.write(lambda transaction: None)


def test_a_failed_job_is_recorded_and_done_again(
    store: Connection, fill, two_families, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, two_families)

    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    with monkeypatch.context() as patch:
        patch.setitem(refresh_module._WORK, "similarity", fail)
        with pytest.raises(RuntimeError, match="broken"):
            refresh(store, tmp_path)
    status = store.read("MATCH (r:Run {kind: 'similarity'}) RETURN r.status AS status")[0]["status"]
    assert status == "failed"
    again = written(refresh(store, tmp_path))
    assert again["scores"] is None
    assert again["similarity"]


def test_a_reader_always_meets_every_score_during_a_refresh(fresh_zoo, fill, two_families) -> None:
    store = fresh_zoo()
    fill(store, two_families)
    refresh(store)
    fill(store, {model: {d: s / 2 for d, s in row.items()} for model, row in two_families.items()}, seed=1)
    counts: set[tuple[int, int]] = set()
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            row = store.read(
                "MATCH (m:Model) OPTIONAL MATCH (m)-[r:SCORED]->() WITH m, count(r) AS n "
                "OPTIONAL MATCH (m)-[i:IN]->() WITH m, n, count(i) AS member RETURN sum(n) AS n, min(member) AS member"
            )[0]
            counts.add((row["n"], row["member"]))

    reader = threading.Thread(target=look)
    reader.start()
    refresh(store)
    stop.set()
    reader.join()
    assert {n for n, _ in counts} == {81}
    assert min(member for _, member in counts) >= 1


# -- killed

CHILD = """
import sys
from zoo_graph import derived
from zoo_graph.refresh import refresh
from zoo_graph.store import Engine, open_store
derived.BATCH_ROWS = 7  # many transactions, so that a kill falls between them
with open_store(sys.argv[1], engine=Engine(grace_seconds=1.0)) as connection:
    print("ready", flush=True)
    refresh(connection)
"""


def test_a_killed_refresh_is_continued_by_the_next(fresh_zoo, fill, two_families, tmp_path: Path) -> None:
    store, reference = fresh_zoo("killed"), fresh_zoo("reference")
    for zoo in (store, reference):
        fill(zoo, two_families)
    refresh(reference)
    chance = random.Random(0)
    for _ in range(4):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(store.folder)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(chance.uniform(0.05, 0.8))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    refresh(store)
    assert derived(store) == derived(reference)
    assert store.read("MATCH (r:Run) RETURN collect(DISTINCT r.status) AS status")[0]["status"] == ["done"]
    assert set(written(refresh(store)).values()) == {None}
