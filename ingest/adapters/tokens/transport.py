"""How Authlib's sessions reach a token server: within one deadline, trusting what is configured, going nowhere else.

requests alone bounds each wait instead of the whole, reads answers of any size, brings certificates of its own
instead of the system's, and takes passwords from `~/.netrc`. Proxies of the environment (`HTTPS_PROXY`) are kept to.
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

from ingest.adapters.deadline import RequestDeadline, GuardedPool, GuardedTlsPool
from ingest.errors import TokenUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from requests import PreparedRequest, Response, Session

    from ingest.domain.grant import Grant

# A token of Microsoft's has some 2 KiB, an answer with a refresh token some 6 KiB.
ANSWER_BYTES = 64 * 1024
_POOLS = {"http": GuardedPool, "https": GuardedTlsPool}
_TOO_MANY = 429  # RFC 6585 section 4
_OUT_OF_ORDER = 500


class _UselessAnswerError(Exception):
    """The answer says nothing of the grant; the text is for the person who mends it."""


@contextmanager
def reaching(session: Session, grant: Grant, seconds: float) -> Iterator[None]:
    """Let the one request of a session go through here, in the `with` block; the session is closed behind it.

    Args:
        session: of requests, as Authlib makes it.
        grant: whose token server is asked.
        seconds: for the request as a whole, connecting included; only the name resolver keeps its own time.

    Raises:
        TokenUnavailableError: no answer, or none that says anything of the grant.
    """
    deadline = RequestDeadline(seconds)
    with session, deadline.running():
        try:
            _prepare(session, _Adapter(_context(grant.ca_file), deadline))
            yield
        except (_UselessAnswerError, RequestException, HTTPError, OSError, ValueError) as error:
            raise TokenUnavailableError(_words(error, grant, deadline)) from error


def _prepare(session: Session, adapter: _Adapter) -> None:
    session.max_redirects = 0
    # What has an `auth`, even one that does nothing, gets none from ~/.netrc.
    session.auth = _as_it_is
    for scheme in _POOLS:
        session.mount(f"{scheme}://", adapter)


def _as_it_is(request: PreparedRequest) -> PreparedRequest:
    return request


def _context(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise _UselessAnswerError(
            f"cannot be trusted yet: the certificates in {ca_file} cannot be read as PEM; correct `auth.ca`"
        ) from error


class _Adapter(HTTPAdapter):
    """For one request, and no other after it."""

    def __init__(self, context: ssl.SSLContext, deadline: RequestDeadline) -> None:
        self._context, self._deadline = context, deadline
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """As requests does, with connections that the deadline ends."""
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """The same behind a proxy."""
        manager = super().proxy_manager_for(proxy, **kwargs, ssl_context=self._context)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def cert_verify(self, *_: Any, **__: Any) -> None:
        """Nothing: the context knows whom to trust, and requests would add the certificates that it brings."""

    def send(self, request: PreparedRequest, *_: Any, **kwargs: Any) -> Response:
        """Send, and read no more of the answer than one with a token may have."""
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
            raise _UselessAnswerError("answered with more than a token")
        # Whatever the rest of such an answer says.
        if response.status_code == _TOO_MANY:
            raise _UselessAnswerError("wants fewer requests")
        response._content = content  # noqa: SLF001 - as if requests had read it
        return response


def _words(error: Exception, grant: Grant, deadline: RequestDeadline) -> str:
    return f"{grant.token_url} {_reason(error, deadline)}. It is asked again."


def _reason(error: Exception, deadline: RequestDeadline) -> str:
    if deadline.over:
        return f"did not give a token within {deadline.seconds:g} s"
    causes = list(_causes(error))
    found = ((cause, words) for kind, words in _REASONS for cause in causes if isinstance(cause, kind))
    cause, words = next(found, (error, _no_token))
    return words(cause)


def _no_token(_: object) -> str:
    return "answered with what is no token: check `auth.token_url`"


def _status_words(error: StatusError) -> str:
    assert error.response is not None  # it is raised for one
    status = error.response.status_code
    if status >= _OUT_OF_ORDER:
        return f"is out of order (it answered {status})"
    return f"answered {status}, and not as token servers do: check `auth.token_url`"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and what led to it, through requests and urllib3 down to the socket's."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


# The first that is among an error's causes says what to do.
_REASONS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Callable[[Any], str]], ...] = (
    (_UselessAnswerError, str),
    (TooManyRedirects, lambda _: "points elsewhere, where no secret is sent: correct `auth.token_url`"),
    (StatusError, _status_words),
    (
        ssl.SSLCertVerificationError,
        lambda error: f"has no certificate to be trusted ({error.verify_message}): have it mended, or set `auth.ca`",
    ),
    (ssl.SSLError, lambda _: "does not speak TLS as it should: check the port in `auth.token_url`"),
    (socket.gaierror, lambda _: "is not known by its name: check `auth.token_url`, or the name resolution"),
    (ProxyError, lambda _: "is not reached through the environment's proxy: check HTTPS_PROXY and NO_PROXY"),
    (RemoteDisconnected, lambda _: "hung up without an answer"),
    # RequestException is an OSError too, also where it only says that the answer is no JSON.
    ((ValueError, HTTPException), _no_token),
    (OSError, lambda _: "cannot be reached: check `auth.token_url`, network and firewall"),
)
