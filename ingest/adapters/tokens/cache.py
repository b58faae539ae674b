"""Access tokens of one process: each is fetched by one thread for all, and cached until shortly before it expires."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ingest.adapters.tokens.fetch import fetch
from ingest.domain.grant import RefreshToken
from ingest.errors import MaildropAuthError, TokenUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.adapters.tokens.fetch import Fetched
    from ingest.domain.grant import Grant

# Seconds before expiry at which a token is renewed, or the last quarter of a shorter lifetime. Gmail ends a session
# when its token expires (developers.google.com/workspace/gmail/imap/imap-smtp); a poll may take 15 minutes.
_EARLY = 900.0
_EARLY_SHARE = 0.25
# Without a newer one it is still used until this many seconds, or this share of its lifetime, before expiry.
_LAST = 60.0
_LAST_SHARE = 0.1
# Pause after a failure, doubled with each further one: a server that hangs must not cost every mailbox a time-out,
# one after the other. Shorter than a mailbox's own backoff, so no mailbox waits longer because of it.
_PAUSE = 10.0
_LONGEST_PAUSE = 300.0
# Maximum number of grants kept; tokens of changed grants would pile up otherwise.
_MOST = 10_000


@dataclass(frozen=True, slots=True)
class _Token:
    """An access token; it is renewed from `fresh_until` on, and not given out from `good_until` on."""

    text: str = field(repr=False)
    fresh_until: float
    good_until: float


@dataclass(frozen=True, slots=True)
class _Failure:
    """The last failure. Kept as class and text: an exception would keep alive whatever its frames hold."""

    kind: type[MaildropAuthError | TokenUnavailableError]
    text: str
    until: float
    number: int


@dataclass(slots=True)
class _Kept:
    """The state of one grant. The holder of `lock` fetches; token and failure are replaced as a whole."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    token: _Token | None = None
    failure: _Failure | None = None
    refresh_token: str | None = field(default=None, repr=False)


class TokenCache:
    """A token cache. One per process; thread-safe.

    A token belongs to a grant, not to a mailbox: an application's token serves all mailboxes it may open. A grant
    with another secret is another grant.

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
        """Return a valid access token.

        Without one, one thread fetches it and the others wait for the token or the error. When the cached one is
        about to expire, one thread renews it and the others continue with it.

        Args:
            grant: how to obtain a token.
            refused: a token that a server refused; it is not returned again.

        Raises:
            MaildropAuthError: the grant is refused.
            TokenUnavailableError: no token can be obtained at present.
        """
        kept = self._of(grant)
        now = self._clock()
        held = _usable(kept.token, refused, now)
        if held is not None and now < held.fresh_until:
            return held.text
        if not kept.lock.acquire(blocking=held is None):
            assert held is not None
            return held.text
        try:
            return self._renewed(grant, kept, refused).text
        finally:
            kept.lock.release()

    def _renewed(self, grant: Grant, kept: _Kept, refused: str | None) -> _Token:
        # Another thread may have done it while this one waited.
        now = self._clock()
        held = _usable(kept.token, refused, now)
        if held is not None and now < held.fresh_until:
            return held
        try:
            if kept.failure is not None and now < kept.failure.until:
                raise kept.failure.kind(kept.failure.text)
            kept.token = self._fetched(grant, kept)
        except (MaildropAuthError, TokenUnavailableError):
            still_good = _usable(kept.token, refused, self._clock())
            if still_good is None:
                raise
            return still_good
        return kept.token

    def _fetched(self, grant: Grant, kept: _Kept) -> _Token:
        if isinstance(grant, RefreshToken) and kept.refresh_token is not None:
            grant = replace(grant, refresh_token=kept.refresh_token)
        asked_at = self._clock()
        try:
            fetched = self._ask(grant)
        except (MaildropAuthError, TokenUnavailableError) as error:
            number = 1 if kept.failure is None else kept.failure.number + 1
            pause = min(_PAUSE * 2 ** min(number - 1, 16), _LONGEST_PAUSE)
            kept.failure = _Failure(type(error), str(error), self._clock() + pause, number)
            if isinstance(error, MaildropAuthError):
                # The configured refresh token may still be valid.
                kept.refresh_token = None
            raise
        kept.failure = None
        kept.refresh_token = fetched.refresh_token or kept.refresh_token
        return _Token(
            fetched.access_token,
            asked_at + fetched.lives - min(_EARLY, fetched.lives * _EARLY_SHARE),
            asked_at + fetched.lives - min(_LAST, fetched.lives * _LAST_SHARE),
        )

    def _of(self, grant: Grant) -> _Kept:
        with self._lock:
            if grant not in self._kept and len(self._kept) >= _MOST:
                self._kept.clear()
            return self._kept.setdefault(grant, _Kept())


def _usable(token: _Token | None, refused: str | None, now: float) -> _Token | None:
    return token if token is not None and token.text != refused and now < token.good_until else None
