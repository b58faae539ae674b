"""The port to the sessions of browsers, which all processes of the console share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

# Sessions that are kept at the most, of a few hundred bytes each, and those of one user, so that nobody who logs in
# again and again ends the sessions of others. The one that would end first, because it was used longest ago, is ended
# for a new one.
SESSIONS_KEPT = 10_000
SESSIONS_OF_ONE = 20

# Logouts that are remembered at the most, of a hundred bytes each; those that would be forgotten first are.
LOGOUTS_KEPT = 10_000


class Sessions(Protocol):
    """Keeps sessions until they end, on the ledger's own clock. Every method raises `LedgerUnavailableError`."""

    def put_session(self, digest: str, session: str, seconds: float, idle: float, names: Sequence[str]) -> None:
        """Keep a session, and end others of the same user if there are too many.

        Args:
            digest: of the secret that the browser has; the secret itself is not kept.
            session: who it is, in a form that is the caller's.
            seconds: after which it ends.
            idle: seconds without use after which it ends before that.
            names: under which it can be ended, in hex; the first one is that of the user.
        """
        ...

    def session(self, digest: str, idle: float | None = None) -> str | None:
        """Return a session that has not ended; None if there is none.

        Args:
            digest: of the secret.
            idle: seconds without use after which it ends from now on; None if this is no use of it.
        """
        ...

    def ended_sessions(self, digests: Collection[str]) -> set[str]:
        """Return which of these sessions have ended. It is no use of them."""
        ...

    def drop_session(self, digest: str) -> None:
        """End a session."""
        ...

    def drop_sessions(self, names: Collection[str], logout: str, seconds: float) -> int | None:
        """End all sessions with one of some names.

        Args:
            names: of `put_session`.
            logout: the digest of what asks for it, which ends sessions only once.
            seconds: for which it is remembered, if there are not too many others.

        Returns:
            How many sessions there were; None if nothing was done, because the same logout has ended them before.
        """
        ...

    def shared_key(self, proposed: str) -> str:
        """Return a key that all processes have in common: the one that was proposed first."""
        ...
