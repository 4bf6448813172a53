from pathlib import Path
from typing import Any, cast

import pytest

from selection.errors import InputError
from selection.executors import packing
from selection.executors.executor import Kind, Site, site_of
from selection.executors.local import LocalExecutor
from selection.executors.ray import RayExecutor


def doubled(item: int) -> int:
    return 2 * item


def test_a_number_auto_and_a_site_mean_a_site() -> None:
    assert [site_of(one) for one in (2, "auto", Site(3))] == [Site(2), Site("auto"), Site(3)]


def test_a_site_opens_its_executor_which_does_the_work() -> None:
    with Site(1).open(doubled) as executor:
        assert isinstance(executor, LocalExecutor)
        assert list(executor.run([1, 2])) == [(1, 2), (2, 4)]
    assert isinstance(Site("auto", "ray").open(doubled, folder=Path("x"), device="cuda"), RayExecutor)


def test_a_plan_counts_on_as_many_as_asked_for_or_as_the_cores_carry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "n_cores", lambda: 8)
    assert Site(2).planned_workers(4) == 2
    assert Site("auto").planned_workers(4) == 2
    assert Site(500, "ray").planned_workers(4) == 500


def test_no_more_workers_than_pieces() -> None:
    assert [Site(3).at_most(n) for n in (0, 2, 9)] == [Site(1), Site(2), Site(3)]
    assert Site("auto").at_most(1) == Site("auto")


@pytest.mark.parametrize(
    ("site", "told"),
    [
        (Site(0), "got 0 workers; wanted 1 to"),
        (Site(0, "ray"), "got 0 workers; wanted 1 or more"),
        (Site(1, cast(Kind, "slurm")), "got the executor 'slurm'; wanted 'local' or 'ray'"),
    ],
)
def test_what_cannot_be_is_refused(site: Site, told: str) -> None:
    with pytest.raises(InputError, match=told):
        cast(Any, site.open(doubled))
