"""Access tokens of one process, each kept until shortly before it ends."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ingest.adapters.tokens.fetch import fetch
from ingest.domain.grant import RefreshToken

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.adapters.tokens.fetch import Fetched
    from ingest.domain.grant import Grant

# A token is renewed so many seconds before it ends, but not before nine tenths of its life are over.
_EARLY = 300.0
_SHARE = 0.1
# Grants that changed leave their tokens behind; who has more mailboxes fetches some of them again.
_MOST = 10_000


@dataclass(slots=True)
class _Kept:
    """A grant's token. `lock` lets one thread fetch while the others wait for what it gets."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    token: str = field(default="", repr=False)
    until: float = 0.0
    refresh_token: str | None = field(default=None, repr=False)


class TokenCache:
    """One for a whole process; may be used by several threads.

    A token belongs to a grant, not to a mailbox: an application's serves all mailboxes that it may open. A grant with
    another secret is another grant.

    Args:
        clock: monotonic, in seconds.
        ask: fetches a token; see `fetch`.
    """

    def __init__(self, clock: Callable[[], float], ask: Callable[[Grant], Fetched] = fetch) -> None:
        self._clock = clock
        self._ask = ask
        self._lock = threading.Lock()
        self._kept: dict[Grant, _Kept] = {}

    def token(self, grant: Grant, refused: str | None = None) -> str:
        """An access token that is good for now.

        Args:
            grant: how to get one.
            refused: one that a server did not take; it is given out no more.

        Raises:
            MaildropAuthError: the grant is refused.
            TokenUnavailableError: no token can be had just now.
        """
        kept = self._of(grant)
        with kept.lock:
            if self._clock() >= kept.until or kept.token == refused:
                self._renew(grant, kept)
            return kept.token

    def _renew(self, grant: Grant, kept: _Kept) -> None:
        if isinstance(grant, RefreshToken) and kept.refresh_token is not None:
            grant = replace(grant, refresh_token=kept.refresh_token)
        fetched = self._ask(grant)
        kept.token = fetched.access_token
        kept.until = self._clock() + max(fetched.lives - _EARLY, fetched.lives * (1 - _SHARE))
        # A server that changes the refresh token lets the first one end at some time.
        kept.refresh_token = fetched.refresh_token or kept.refresh_token

    def _of(self, grant: Grant) -> _Kept:
        with self._lock:
            if grant not in self._kept and len(self._kept) >= _MOST:
                self._kept.clear()
            return self._kept.setdefault(grant, _Kept())
