"""Where a store answers and as whom to speak: what a connection asks for before each call."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

# The embedded engine ties a time limit to a login: a user's query runs as the read-only login with the next larger one.
READER_SECONDS = (1, 3, 10, 60)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A Bolt address and a login; `user` None means no authentication."""

    uri: str
    user: str | None
    password: str | None


class Source(Protocol):
    """What knows where the store answers; an embedded one starts its engine when it has to."""

    @property
    def uri(self) -> str:
        """What the user opened, for messages."""

    @property
    def folder(self) -> Path | None:
        """The zoo's folder; None for a server."""

    def endpoint(self) -> Endpoint:
        """Return where to speak now, as the writer."""

    def reader(self, seconds: float) -> Endpoint:
        """Return where to speak now for a user's query of at most `seconds`."""

    def close(self) -> None:
        """Stop using the store."""


@dataclass(frozen=True, slots=True)
class Server:
    """A Neo4j server or cluster that runs anyway."""

    uri: str
    user: str | None
    password: str | None
    folder: None = None

    def endpoint(self) -> Endpoint:
        """Return the server's address and login."""
        return Endpoint(self.uri, self.user, self.password)

    def reader(self, seconds: float) -> Endpoint:
        """Return the same: a community server knows no roles; the READ transaction and its time limit do the work."""
        return self.endpoint()

    def close(self) -> None:
        """Do nothing: the server is not ours."""
