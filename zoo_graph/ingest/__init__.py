"""Brings records into the graph, and takes a run's contribution back out."""

from zoo_graph.ingest.counts import Counts, Tally
from zoo_graph.ingest.file import import_file, import_folder
from zoo_graph.ingest.forgetting import forget
from zoo_graph.ingest.measured import record_measurements, record_outcome
from zoo_graph.ingest.rejects import RejectedGroup, RejectsFile, open_rejects
from zoo_graph.ingest.report import ImportReport
from zoo_graph.ingest.session import Track, ingest

__all__ = [
    "Counts",
    "ImportReport",
    "RejectedGroup",
    "RejectsFile",
    "Tally",
    "Track",
    "forget",
    "import_file",
    "import_folder",
    "ingest",
    "open_rejects",
    "record_measurements",
    "record_outcome",
]
