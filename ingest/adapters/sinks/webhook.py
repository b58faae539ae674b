"""Events as signed POST requests according to Standard Webhooks."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from typing_extensions import override

from ingest import __version__
from ingest.adapters.sinks.addresses import is_public
from ingest.adapters.sinks.posting import Poster, PostError
from ingest.adapters.sinks.signature import signature_headers, signing_key
from ingest.errors import ConfigError, SinkUnavailableError
from ingest.ports.sink import Outcome, Sink, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ingest.adapters.sinks.posting import Answer
    from ingest.domain.events import Event

# Enough to hide the round trip for a hundred events, few enough for a small receiver.
CONCURRENCY = 8

# Status codes by which the receiver refuses this event for good.
_REFUSALS = frozenset({400, 413, 415, 422})
# "The consumer has disabled the endpoint": Standard Webhooks asks senders to stop then.
_GONE = 410
# RFC 6585 section 4 and RFC 9110 section 15.6.4: with these a receiver may say when to try again.
_LATER = frozenset({429, 503})
_LONGEST_SECONDS = 3600.0
_DIGITS = 9


class WebhookSink(Sink):
    """A `Sink` that posts to a webhook.

    Events of different mailboxes are posted concurrently, those of one mailbox one after the other. `check` connects
    and posts nothing: whether the receiver accepts events shows with the first one.

    Args:
        name: unique among the sinks.
        url: `https://` or `http://`.
        secret: called for each batch, so that a new secret is used at once.
        timeout: seconds for one request as a whole.
        clock: seconds since 1970; the receiver compares timestamps with its own clock.
        ca_file: PEM certificates to trust instead of the system's.
        allow_private: allow connections to this machine and to private networks.
    """

    def __init__(
        self,
        name: str,
        url: str,
        secret: Callable[[], str],
        *,
        timeout: float,
        clock: Callable[[], float],
        ca_file: Path | None = None,
        allow_private: bool = False,
    ) -> None:
        self.name = name
        self._url = url
        self._secret = secret
        self._timeout = timeout
        self._clock = clock
        self._ca_file = ca_file
        self._permitted = None if allow_private else is_public
        self._lock = threading.Lock()
        self._opened: Poster | None = None
        self._threads: ThreadPoolExecutor | None = None

    @override
    def deliver(self, events: Sequence[Event]) -> list[Outcome]:
        if not events:
            return []
        batch = _Batch(self._poster(), self._key(), self._clock)
        places: dict[str, list[int]] = {}
        for place, event in enumerate(events):
            places.setdefault(event.mailbox, []).append(place)
        outcomes: list[Outcome] = [Outcome(Verdict.UNAVAILABLE)] * len(events)

        def one_mailbox(mine: list[int]) -> None:
            for place, outcome in zip(mine, batch.in_order([events[place] for place in mine]), strict=True):
                outcomes[place] = outcome

        if len(places) == 1:
            one_mailbox(list(range(len(events))))
        else:
            list(self._pool().map(one_mailbox, places.values()))
        return outcomes

    @override
    def check(self) -> None:
        """Connects and posts nothing."""
        self._key()
        try:
            self._poster().connect()
        except PostError as error:
            raise SinkUnavailableError(f"{self._where}: {error}", error.reason) from error

    @override
    def close(self) -> None:
        with self._lock:
            threads, poster = self._threads, self._opened
            self._threads = self._opened = None
        if threads is not None:
            threads.shutdown()
        if poster is not None:
            poster.close()

    @property
    def _where(self) -> str:
        """Host and port of the receiver; the rest of the URL may be secret."""
        return urlsplit(self._url).netloc

    def _key(self) -> bytes:
        try:
            return signing_key(self._secret())
        except ConfigError as error:
            raise SinkUnavailableError(f"{self._where}: {error}", "secret_missing") from error
        except ValueError as error:
            raise SinkUnavailableError(f"{self._where}: {error}", "secret_invalid") from error

    def _poster(self) -> Poster:
        with self._lock:
            if self._opened is None:
                try:
                    self._opened = Poster(
                        self._url,
                        timeout=self._timeout,
                        ca_file=self._ca_file,
                        connections=CONCURRENCY,
                        permitted=self._permitted,
                    )
                except PostError as error:
                    raise SinkUnavailableError(f"{self._where}: {error}", error.reason) from error
            return self._opened

    def _pool(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="webhook")
            return self._threads


class _Batch:
    """One call of `deliver`.

    `_unavailable` is set once the receiver does not answer, answered 410 Gone, or asked to be left alone for a while.
    """

    def __init__(self, poster: Poster, key: bytes, clock: Callable[[], float]) -> None:
        self._poster, self._key, self._clock = poster, key, clock
        self._unavailable: Outcome | None = None

    def in_order(self, events: Sequence[Event]) -> list[Outcome]:
        """Post the events of one mailbox, none after one for which the sink was unavailable or gone."""
        outcomes: list[Outcome] = []
        for event in events:
            outcome = self._unavailable or self._post(event)
            outcomes.append(outcome)
            if outcome.verdict in {Verdict.UNAVAILABLE, Verdict.GONE}:
                outcomes += [replace(outcome, attempted=False)] * (len(events) - len(outcomes))
                break
        return outcomes

    def _post(self, event: Event) -> Outcome:
        headers = {
            "content-type": "application/cloudevents+json",
            "user-agent": f"mailhaul/{__version__}",
            **event.trace_headers,
            **signature_headers(self._key, event.id, int(self._clock()), event.body),
        }
        try:
            outcome = _outcome(self._poster.post(event.body, headers), self._clock())
        except PostError as error:
            outcome = Outcome(Verdict.UNAVAILABLE, error.reason)
            self._unavailable = replace(outcome, attempted=False)
        if outcome.verdict is Verdict.GONE or outcome.retry_after is not None:
            self._unavailable = replace(outcome, attempted=False)
        return outcome


def _outcome(answer: Answer, now: float) -> Outcome:
    status = answer.status
    if 200 <= status < 300:  # noqa: PLR2004 - HTTP's success class
        return Outcome(Verdict.DELIVERED, answer=f"http_{status}")
    if status == _GONE:
        return Outcome(Verdict.GONE, f"http_{status}")
    if status in _REFUSALS:
        return Outcome(Verdict.REJECTED, f"http_{status}")
    retry_after = _seconds(answer.retry_after, now) if status in _LATER else None
    return Outcome(Verdict.UNAVAILABLE, f"http_{status}", retry_after)


def _seconds(value: str | None, now: float) -> float | None:
    """Return the seconds that `Retry-After` names, as a number or a date, at most an hour; None if it is invalid.

    Args:
        value: of the header.
        now: seconds since 1970.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        # More digits than an hour has only make `int` slow.
        return float(min(int(text[:_DIGITS]), _LONGEST_SECONDS))
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    moment = date if date.tzinfo is not None else date.replace(tzinfo=UTC)  # RFC 9110: a date is in GMT
    return min(max(0.0, moment.timestamp() - now), _LONGEST_SECONDS)
