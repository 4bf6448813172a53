"""Who may take a lease from whom, and that a held one stays held."""

import os
import subprocess
import sys
import time

import pytest

from zoo_graph import lease as leases
from zoo_graph import queries
from zoo_graph.errors import RefreshBusyError
from zoo_graph.lease import Lease
from zoo_graph.store import Connection


def pretend(store: Connection, **holder: object) -> None:
    """Makes the lease another holder's."""
    Lease.take(store)
    changes = ", ".join(f"g.lease_{name} = ${name}" for name in holder)
    store.write(lambda transaction: transaction.run(f"MATCH (g:Graph {{id: 'zoo'}}) SET {changes}", **holder))


def left_ms(store: Connection) -> int:
    return int(store.read(queries.LEASE_STATE)[0]["left_ms"])


def test_a_process_of_another_start_with_the_same_id_is_another_process(embedded_store: Connection) -> None:
    pretend(embedded_store, pid=os.getpid(), started="1")
    with Lease.take(embedded_store) as lease:
        assert embedded_store.read(queries.LEASE_STATE)[0]["owner"] == lease.owner


def test_a_killed_process_that_nobody_collected_holds_no_lease(embedded_store: Connection) -> None:
    killed = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = leases._process_started(killed.pid)
    pretend(embedded_store, pid=killed.pid, started=started)
    with pytest.raises(RefreshBusyError, match=f"process {killed.pid}"):
        Lease.take(embedded_store)
    killed.kill()
    os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays to be collected
    Lease.take(embedded_store)
    killed.communicate()


def test_a_process_of_another_host_holds_its_lease_until_it_runs_out(embedded_store: Connection) -> None:
    pretend(embedded_store, pid=2**22 + 1, host="elsewhere")  # no such process here
    with pytest.raises(RefreshBusyError, match=r"on elsewhere.*its claim ends within \d+ s"):
        Lease.take(embedded_store)


def test_a_lease_that_is_given_back_is_free(embedded_store: Connection) -> None:
    with Lease.take(embedded_store):
        pass
    assert embedded_store.read(queries.LEASE_STATE)[0]["owner"] is None


def test_who_lost_a_lease_does_not_give_back_that_of_its_successor(embedded_store: Connection) -> None:
    with Lease.take(embedded_store):
        embedded_store.write(lambda transaction: transaction.run("MATCH (g:Graph) SET g.lease_until = 0"))
        successor = Lease.take(embedded_store)
    assert embedded_store.read(queries.LEASE_STATE)[0]["owner"] == successor.owner


def test_a_long_computation_keeps_its_lease(embedded_store: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_RENEW_SECONDS", 0.05)
    with Lease.take(embedded_store):
        embedded_store.write(
            lambda transaction: transaction.run("MATCH (g:Graph) SET g.lease_until = timestamp() + 1000")
        )
        end = time.monotonic() + 10
        while left_ms(embedded_store) < 50_000:
            assert time.monotonic() < end, "the lease was not renewed"
            time.sleep(0.02)
