"""A graph of pretrained models, datasets and results that answers: which model should I fine-tune on my data?"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo_graph.zoo import Zoo as Zoo

__all__ = ["Zoo"]


def __getattr__(name: str) -> object:
    """`Zoo` is imported when it is asked for: `zoo --help` need not wait for the driver."""
    if name == "Zoo":
        from zoo_graph.zoo import Zoo

        return Zoo
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
