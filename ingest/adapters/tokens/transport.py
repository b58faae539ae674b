"""The transport of Authlib's sessions to a token server: one deadline, configured trust, no redirects.

By itself requests limits each wait instead of the whole request, reads answers of any size, uses its own certificates
instead of the system's, and takes passwords from `~/.netrc`. Proxies from the environment (`HTTPS_PROXY`) are used.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import contextmanager
from http.client import HTTPException, RemoteDisconnected
from typing import TYPE_CHECKING, Any

from requests import HTTPError as StatusError
from requests import RequestException, TooManyRedirects
from requests.adapters import HTTPAdapter
from requests.exceptions import ProxyError
from urllib3.exceptions import HTTPError

from ingest.adapters.deadline import GuardedPool, GuardedTlsPool, RequestDeadline
from ingest.errors import TokenUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from requests import PreparedRequest, Response, Session

    from ingest.domain.grant import Grant

# A Microsoft token has about 2 KiB, an answer with a refresh token about 6 KiB.
ANSWER_BYTES = 64 * 1024
_POOLS = {"http": GuardedPool, "https": GuardedTlsPool}
_TOO_MANY = 429  # RFC 6585 section 4
_OUT_OF_ORDER = 500


class UselessAnswerError(Exception):
    """The answer says nothing about the grant; the message names the remedy."""


@contextmanager
def reaching(session: Session, grant: Grant, seconds: float) -> Iterator[None]:
    """Set up a session for its one request, made in the `with` block, and close it afterwards.

    Args:
        session: a requests session, as made by Authlib.
        grant: the grant whose token server is asked.
        seconds: for the request as a whole, connecting included; only name resolution has its own timeout.

    Raises:
        TokenUnavailableError: no answer, or one that says nothing about the grant.
    """
    deadline = RequestDeadline(seconds)
    with session, deadline.running():
        try:
            prepare(session, _context(grant.ca_file), deadline)
            yield
        except (UselessAnswerError, RequestException, HTTPError, OSError, ValueError) as error:
            raise TokenUnavailableError(_words(error, grant, deadline)) from error


def prepare(session: Session, context: ssl.SSLContext, deadline: RequestDeadline) -> None:
    """Set up a session for one request within a deadline: no redirects, no ~/.netrc, an answer of bounded size.

    Args:
        session: a requests session.
        context: decides whom to trust.
        deadline: that runs.
    """
    adapter = _Adapter(context, deadline)
    session.max_redirects = 0
    # With an `auth`, even one that does nothing, requests does not read ~/.netrc.
    session.auth = _as_it_is
    for scheme in _POOLS:
        session.mount(f"{scheme}://", adapter)


def _as_it_is(request: PreparedRequest) -> PreparedRequest:
    return request


def _context(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise UselessAnswerError(
            f"cannot be verified: the certificates in {ca_file} cannot be read as PEM; correct `auth.ca`"
        ) from error


class _Adapter(HTTPAdapter):
    """An adapter for a single request."""

    def __init__(self, context: ssl.SSLContext, deadline: RequestDeadline) -> None:
        self._context, self._deadline = context, deadline
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Set up pools whose connections obey the deadline."""
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Set up the same pools behind a proxy."""
        manager = super().proxy_manager_for(proxy, **kwargs, ssl_context=self._context)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def cert_verify(self, *_: Any, **__: Any) -> None:
        """Do nothing: the context decides whom to trust, and requests would add its own certificates."""

    def send(self, request: PreparedRequest, *_: Any, **kwargs: Any) -> Response:
        """Send, and read no more of the answer than a token needs."""
        response = super().send(
            request, stream=True, timeout=self._deadline.seconds, verify=True, proxies=kwargs.get("proxies")
        )
        try:
            content = response.raw.read(ANSWER_BYTES + 1, decode_content=True)
        finally:
            response.close()
        if self._deadline.over:
            raise TimeoutError
        if len(content) > ANSWER_BYTES:
            raise UselessAnswerError("answered with more than a token")
        # The body of such an answer does not matter.
        if response.status_code == _TOO_MANY:
            raise UselessAnswerError("asks for fewer requests")
        response._content = content  # noqa: SLF001 - as if requests had read it
        return response


def _words(error: Exception, grant: Grant, deadline: RequestDeadline) -> str:
    return f"{grant.token_url} {_reason(error, deadline)}. The request is repeated later."


def _reason(error: Exception, deadline: RequestDeadline) -> str:
    if deadline.over:
        return f"did not answer with a token within {deadline.seconds:g} s"
    causes = list(causes_of(error))
    found = ((cause, words) for kind, words in _REASONS for cause in causes if isinstance(cause, kind))
    cause, words = next(found, (error, _no_token))
    return words(cause)


def _no_token(_: object) -> str:
    return "answered with something other than a token: check `auth.token_url`"


def _status_words(error: StatusError) -> str:
    assert error.response is not None  # it is raised for one
    status = error.response.status_code
    if status >= _OUT_OF_ORDER:
        return f"is out of order (it answered {status})"
    return f"answered {status}, unlike a token server: check `auth.token_url`"


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and its causes, through requests and urllib3 down to the socket's."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


# The first class found among an error's causes gives the message.
_REASONS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Callable[[Any], str]], ...] = (
    (UselessAnswerError, str),
    (TooManyRedirects, lambda _: "redirects elsewhere, where no secret is sent: correct `auth.token_url`"),
    (StatusError, _status_words),
    (
        ssl.SSLCertVerificationError,
        lambda error: f"has no trusted certificate ({error.verify_message}): have it corrected, or set `auth.ca`",
    ),
    (ssl.SSLError, lambda _: "failed the TLS handshake: check the port in `auth.token_url`"),
    (socket.gaierror, lambda _: "has an unknown host name: check `auth.token_url`, or name resolution"),
    (ProxyError, lambda _: "cannot be reached through the environment's proxy: check HTTPS_PROXY and NO_PROXY"),
    (RemoteDisconnected, lambda _: "closed the connection without an answer"),
    # RequestException is an OSError too, even if it only means that the answer is not JSON.
    ((ValueError, HTTPException), _no_token),
    (OSError, lambda _: "cannot be reached: check `auth.token_url`, network and firewall"),
)
