"""Requests to an identity provider: within a deadline, and with errors that say what is wrong with its address."""

from __future__ import annotations

import socket
import ssl
from contextlib import contextmanager
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from requests import HTTPError as StatusError
from requests import RequestException, Session, TooManyRedirects
from urllib3.exceptions import HTTPError

from ingest.adapters.deadline import RequestDeadline
from ingest.adapters.tokens.transport import UselessAnswerError, causes_of, prepare
from ingest.errors import MailhaulError, ProviderUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_Session = TypeVar("_Session", bound=Session)

# Seconds for one request. Somebody waits for the page.
SECONDS = 8.0
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def get_object(url: str, headers: Mapping[str, str], issuer: str, ca_file: str | None) -> dict[str, Any]:
    """Return the JSON object at an address of a provider; arguments and errors as for `reaching`."""
    with reaching(Session(), issuer, ca_file) as session:
        answer = session.get(url, headers={"Accept": "application/json", **headers})
        answer.raise_for_status()
        found = answer.json()
    if not isinstance(found, dict):
        raise ProviderUnavailableError(f"{issuer} answered with something other than an object")
    return found


@contextmanager
def reaching(session: _Session, issuer: str, ca_file: str | None) -> Iterator[_Session]:
    """Yield a session for one request, and close it.

    Args:
        session: for the request.
        issuer: names the provider in errors.
        ca_file: of certificates to trust instead of the system's.

    Raises:
        ProviderUnavailableError: the provider does not answer, or with something that cannot be used.
    """
    deadline = RequestDeadline(SECONDS)
    with session, deadline.running():
        try:
            prepare(session, ssl.create_default_context(cafile=ca_file), deadline)
            yield session
        except MailhaulError:
            raise
        except (UselessAnswerError, RequestException, HTTPError, OSError, ValueError, RecursionError) as error:
            reason = f"did not answer within {SECONDS:g} s" if deadline.over else _reason(error)
            raise ProviderUnavailableError(f"{issuer} {reason}") from None


def is_safe(url: str, issuer: str) -> bool:
    """Whether an address may be used: over TLS, unless the provider runs on this machine."""
    if not (url.isascii() and url.isprintable()):
        return False  # it may go into a header field
    try:
        parts, of_issuer = urlsplit(url), urlsplit(issuer)
    except ValueError:
        return False
    local = of_issuer.scheme == "http" and of_issuer.hostname in _LOOPBACK
    return bool(parts.hostname) and (parts.scheme == "https" or (local and parts.scheme == "http"))


def _reason(error: Exception) -> str:
    found = ((cause, words) for kind, words in _REASONS for cause in causes_of(error) if isinstance(cause, kind))
    cause, words = next(found, (error, _unreadable))
    return words(cause)


def _unreadable(_: object) -> str:
    return "answered with something that cannot be read: check `issuer`"


_REASONS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Callable[[Any], str]], ...] = (
    (UselessAnswerError, lambda _: "answered with more than a login needs, or asks for fewer requests"),
    (TooManyRedirects, lambda _: "redirects elsewhere: check `issuer`"),
    (StatusError, lambda error: f"answered {error.response.status_code}: check `issuer`"),
    (
        ssl.SSLCertVerificationError,
        lambda error: f"has no trusted certificate ({error.verify_message}): have it corrected, or set `ca`",
    ),
    (ssl.SSLError, lambda _: "failed the TLS handshake: check the port in `issuer`"),
    (FileNotFoundError, lambda _: "cannot be verified: the file in `ca` cannot be read"),
    (socket.gaierror, lambda _: "has an unknown host name: check `issuer`, or name resolution"),
    ((ValueError, HTTPException), _unreadable),
    (OSError, lambda _: "cannot be reached: check `issuer`, network and firewall"),
)
