"""Recall: from evidence to a few ranked picks, each with an interval, ties and reasons.

What it believes of a model is its shrunken mean over past datasets (`ability`), moved by proxy scores as far as
they proved right on past datasets (`stacking`), and by results on the target itself (`prediction`).
"""

from selection.recall.constraints import Constraints
from selection.recall.evidence import Evidence, FloatArray
from selection.recall.ranking import recall

__all__ = ["Constraints", "Evidence", "FloatArray", "recall"]
