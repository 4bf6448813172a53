"""Brings records into the graph, and takes a run's contribution back out."""

from zoo_graph.ingest.counts import Counts, Tally
from zoo_graph.ingest.forgetting import forget
from zoo_graph.ingest.session import Track, ingest

__all__ = ["Counts", "Tally", "Track", "forget", "ingest"]
