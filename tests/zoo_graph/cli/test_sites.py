import pytest
import typer

from selection.executors.executor import Site
from zoo_graph.cli.sites import site


def test_workers_are_a_number_or_as_many_as_fit_and_an_address_means_ray() -> None:
    assert site("2") == Site(2)
    assert site("auto") == Site("auto")
    assert site("auto", "ray") == Site("auto", "ray")
    assert site("4000", ray_address="host:6379") == Site(4000, "ray", "host:6379")


def test_more_workers_than_this_machine_carries_are_refused() -> None:
    with pytest.raises(typer.BadParameter, match="got 4000; wanted at most"):
        site("4000")
