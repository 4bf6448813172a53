"""Every error that `zoo_graph` raises on purpose.

::

    ZooError
    ├── InputError                the caller's input (the CLI ends with 2)
    │   ├── UnknownNameError      a model, dataset, metric or run the zoo does not hold (with close matches)
    │   ├── ImportFileError       a file that cannot be imported at all
    │   └── QueryRefusedError     Cypher that may not run here, or that does not parse
    ├── PackageError              a package of the demo that cannot be had or read (the CLI ends with 1)
    └── StoreError                the store (the CLI ends with 2)
        ├── StoreUnavailableError no server there, or it went away
        ├── StoreLockedError      another program holds the folder
        ├── StoreFailedError      a statement of ours failed, or the folder cannot be written (the CLI ends with 1)
        ├── RefreshBusyError      another refresh is at work (the CLI ends with 1)
        ├── AuthenticationError   a wrong user or password
        └── QueryLimitError       a query over its time or memory limit (the CLI ends with 1)
"""

import difflib
from collections.abc import Iterable


class ZooError(Exception):
    """Base of every error raised on purpose by this package."""


class InputError(ZooError):
    """Input that cannot be used; the message says what was got, what was wanted and what to do."""


class UnknownNameError(InputError):
    """A name the zoo does not hold; the message lists close matches."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = list(known)
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.5) or names[:3]
        hint = f"did you mean {', '.join(close)}?" if close else "the zoo holds none yet; import some first"
        super().__init__(f"no {kind} {name!r} in this zoo ({len(names)} known): {hint}")


class ImportFileError(InputError):
    """A file of which nothing can be imported."""


class QueryRefusedError(InputError):
    """Cypher that may not run here, or that the store could not parse."""


class PackageError(ZooError):
    """A package with the demo's weights or texts that cannot be downloaded or is not what was pinned."""


class StoreError(ZooError):
    """The store failed."""


class StoreUnavailableError(StoreError):
    """Nothing answers at the store's address, or the connection broke."""


class StoreLockedError(StoreError):
    """Another program holds the zoo's folder."""


class StoreFailedError(StoreError):
    """The store did not do what it was asked for: a statement failed, other writers won, or its disk is full."""


class RefreshBusyError(StoreError):
    """Another refresh is at work on this zoo, or took over."""


class AuthenticationError(StoreError):
    """The server refused the user or the password."""


class QueryLimitError(StoreError):
    """A query ran into its limit of time or memory."""
