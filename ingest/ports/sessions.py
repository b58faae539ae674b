"""The port to the sessions of browsers, which all processes of the console share."""

from __future__ import annotations

from typing import Protocol

# Sessions that are kept at the most, of a few hundred bytes each; the one that ends first is ended for a new one.
SESSIONS_KEPT = 10_000


class Sessions(Protocol):
    """Keeps sessions until they end. Every method raises `LedgerUnavailableError`."""

    def put_session(self, digest: str, session: str, seconds: float) -> None:
        """Keep a session.

        Args:
            digest: of the secret that the browser has; the secret itself is not kept.
            session: who it is, in a form that is the caller's.
            seconds: after which it ends.
        """
        ...

    def session(self, digest: str) -> str | None:
        """Return a session that has not ended; None if there is none."""
        ...

    def drop_session(self, digest: str) -> None:
        """End a session."""
        ...

    def shared_key(self, proposed: str) -> str:
        """Return a key that all processes have in common: the one that was proposed first."""
        ...
