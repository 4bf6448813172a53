"""Every error that `selection` raises on purpose.

::

    SelectionError
    ├── InputError            the caller's input: what was got, what was wanted, what to do
    │   ├── DatasetError      a dataset that cannot be read or used
    │   ├── CheckpointError   no checkpoint there, or one that cannot be opened
    │   └── BudgetError       the work cannot fit the seconds or bytes allowed
    └── TrialError            work that failed half-way: one candidate, one run
"""


class SelectionError(Exception):
    """Base of every error raised on purpose by this package."""


class InputError(SelectionError):
    """Input that cannot be used; the message says what was got, what was wanted and what to do."""


class DatasetError(InputError):
    """A dataset that cannot be read, or that has nothing to choose a model by."""


class CheckpointError(InputError):
    """A checkpoint that is missing, gated, or no checkpoint at all."""


class BudgetError(InputError):
    """Work that cannot fit the seconds or bytes it was given."""


class TrialError(SelectionError):
    """One candidate's work failed; the others go on."""
