"""Work over a Ray cluster of two nodes on this machine; a minute, most of it Ray coming up and going down."""

import errno
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from selection.errors import InputError, TrialError
from selection.executors import ray as ray_executor
from selection.executors.executor import Site
from selection.executors.ray import RayExecutor
from selection.records import Candidate, Recipe
from selection.runner import select
from selection.schedule import plan
from selection.simulated import Recorded, SimulatedTrainer

if os.environ.get("CI") != "true":
    pytest.importorskip("ray", reason="the extra `ray` is not installed: pip install 'zoo-graph[ray]'")
# Ray's processes and sockets outlive what started them by a moment.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.*"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one core each, and this process connected to them."""
    import ray
    from ray.cluster_utils import Cluster

    before = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT)}
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    small = {"num_cpus": 1, "object_store_memory": 80 << 20}
    made = Cluster(initialize_head=True, head_node_args={**small, "include_dashboard": False})
    made.second = made.add_node(**small)
    ray.init(address=made.address, log_to_driver=False, configure_logging=False)
    yield made
    ray.shutdown()
    made.shutdown()
    for name, handler in before.items():
        signal.signal(name, handler)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)


def node() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())


def halved(item: int) -> float:
    """4 fails on purpose, 5 always takes its process with it."""
    if item == 4:
        raise TrialError("four is unlucky")
    if item == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return item / 2


def test_a_failure_or_a_lost_worker_leaves_the_others_alone(cluster: Any) -> None:
    with RayExecutor(halved) as executor:
        said = {item: str(result) for item, result in executor.run([1, 4, 5, 2, 3])}
    assert said == {1: "0.5", 2: "1.0", 3: "1.5", 4: "four is unlucky", 5: said[5]}
    assert said[5].startswith("its worker was lost 3 times: ")


def full(item: int) -> int:
    raise OSError(errno.ENOSPC, "No space left on device", "/state.part")


def test_a_full_disk_is_told_as_such(cluster: Any) -> None:
    with RayExecutor(full) as executor:
        ((_, error),) = executor.run([1])
    assert isinstance(error, OSError)
    assert (error.errno, error.filename) == (errno.ENOSPC, "/state.part")


def dying_beside(folder: Path, item: int) -> int:
    """3 runs out of memory as long as it is not alone."""
    (folder / str(item)).touch()
    if item == 3:
        wait_for(lambda: (folder / "1").exists())
        if not (folder / "released").exists():
            (folder / "released").touch()
            raise TrialError("no luck") from MemoryError("out of memory")
    wait_for(lambda: (folder / "released").exists())
    return item


def test_lack_of_memory_beside_others_costs_no_piece(cluster: Any, tmp_path: Path) -> None:
    with RayExecutor(partial(dying_beside, tmp_path), 2) as executor:
        assert [result for _, result in executor.run([1, 3, 2])][-1] == 3


def stuck(item: float) -> float:
    time.sleep(item)
    return item


def test_a_stuck_piece_is_cut_off(cluster: Any) -> None:
    with RayExecutor(stuck, expected_seconds=lambda item: 0.01, stuck_seconds=2.0) as executor:
        found = dict(executor.run([60.0, 0.1]))
    assert str(found[60.0]) == "cut off by the clock: stuck for 2 s, where about 0 s were expected"
    assert found[0.1] == 0.1


def test_nothing_starts_once_told_to_stop(cluster: Any) -> None:
    begun: list[float] = []

    def admit(item: float) -> bool:
        begun.append(item)
        return True

    with RayExecutor(stuck, admit=admit) as executor:
        assert [item for item, _ in executor.run([0.1, 0.2, 0.3], lambda: len(begun) >= 1)] == [0.1]


def test_a_worker_that_would_ask_for_more_memory_than_any_node_has_is_given_a_whole_one(cluster: Any) -> None:
    end = time.monotonic() + 30
    with RayExecutor(halved) as executor:
        executor._peak = ray_executor.Usage(peak_bytes=1 << 40)  # as if a piece had been measured, and its worker lost
        assert list(executor.run([3], lambda: time.monotonic() > end)) == [(3, 1.5)]


class _Blind(ray_executor._Serving[Any, Any]):
    """A node that sees other folders under the same path."""

    def sees_folder(self) -> tuple[str, bool]:
        return "box7", False


def test_a_folder_that_a_node_does_not_see_is_refused_and_no_token_stays(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RayExecutor(stuck, folder=tmp_path) as executor:
        assert len(list(tmp_path.iterdir())) == 1
        assert [result for _, result in executor.run([0.0])] == [0.0]
    monkeypatch.setattr(ray_executor, "_Serving", _Blind)
    with (
        pytest.raises(InputError, match=r"the node box7 does not see .*storage that all nodes of the cluster share"),
        RayExecutor(stuck, folder=tmp_path) as executor,
    ):
        list(executor.run([0.0]))
    assert list(tmp_path.iterdir()) == []


def test_more_threads_than_a_node_has_cores_are_refused(cluster: Any) -> None:
    with (
        pytest.raises(InputError, match="got 64 threads for a piece; the largest node of the Ray cluster has 1 cores"),
        RayExecutor(stuck, threads=64),
    ):
        pass


def test_a_race_over_nodes_ends_as_on_one_machine(cluster: Any, tmp_path: Path) -> None:
    runs = {f"org/m{n}": Recorded((5, 25, 100), (0.3, 0.4, 0.5 + n / 20), test=0.5) for n in range(4)}
    made = plan(
        [Candidate(name) for name in runs],
        Recipe(total_steps=100, warmup_steps=5),
        seconds_per_step=lambda one: 1.0,
        policy="successive_halving",
    )
    trainer = SimulatedTrainer(runs)
    here = select("beans", made, trainer, tmp_path / "here")
    there = select("beans", made, trainer, tmp_path / "there", workers=Site("auto", "ray"))
    assert replace(there, checkpoint=None) == replace(here, checkpoint=None)
    assert not list((tmp_path / "there").glob(".seen*"))


def long_work(folder: Path, lost: str, item: int) -> tuple[int, str]:
    """Works until it may end, and says where; on the node that will be lost it does not end."""
    with (folder / f"{item}.nodes").open("a") as log:
        log.write(f"{node()}\n")
    wait_for(lambda: (folder / "end").exists() and node() != lost)
    return item, node()


def test_pieces_of_a_killed_node_are_done_on_another(cluster: Any, tmp_path: Path) -> None:
    """The last test: the second node is gone afterwards."""
    lost = cluster.second.node_id
    with RayExecutor(partial(long_work, tmp_path, lost), 2) as executor:
        executor._peak = ray_executor.Usage(peak_bytes=1)  # as if pieces had ended: a worker for each core
        killed = False

        def kill_the_node() -> bool:
            nonlocal killed
            begun = [path.read_text().split() for path in tmp_path.glob("*.nodes")]
            if not killed and any(lost in nodes for nodes in begun):
                cluster.remove_node(cluster.second, allow_graceful=False)
                killed = True
                (tmp_path / "end").touch()
            return False

        found = dict(executor.run([1, 2, 3], kill_the_node))
    assert killed
    assert {item: result[0] for item, result in found.items()} == {1: 1, 2: 2, 3: 3}
    assert lost not in {result[1] for result in found.values()}
    twice = [path.name for path in tmp_path.glob("*.nodes") if len(path.read_text().split()) == 2]
    assert len(twice) == 1


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "nowhere"])
def test_an_address_where_no_cluster_listens_is_refused_at_once(address: str) -> None:
    import ray

    ray.shutdown()  # another cluster would be taken
    with pytest.raises(InputError, match=f"got the Ray address '{address}', which cannot be used: "):
        RayExecutor(stuck, address=address).__enter__()


def test_without_ray_the_executor_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'zoo-graph\[ray\]'"), RayExecutor(stuck):
        pass
