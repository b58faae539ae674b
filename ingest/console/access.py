"""Who may see and do what: the one place that decides it, for search, API, pages and downloads alike."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ingest.catalog.queries import Scope
from ingest.errors import Fault, MailhaulError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import HTTPConnection

    from ingest.config.console import ConsoleSection, TokenSection, UserSection
    from ingest.domain.mailbox import Mailbox

COOKIE = "mailhaul_session"
SESSION_SECONDS = 12 * 3600.0
# Failed logins from one address, and the seconds for which they count.
_FAILURES, _FAILURE_SECONDS = 10, 300.0
# Sessions, and addresses whose failures are counted.
_MOST = 10_000
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


class NotLoggedInError(MailhaulError):
    """Nobody is logged in."""

    fault = Fault.OPERATOR
    code = "not_logged_in"


class ForbiddenError(MailhaulError):
    """Whoever is logged in may not do this."""

    fault = Fault.OPERATOR
    code = "forbidden"


class TooManyLoginsError(MailhaulError):
    """Too many logins from an address failed."""

    fault = Fault.OPERATOR
    code = "too_many_logins"


@dataclass(frozen=True, slots=True)
class Identity:
    """Whoever sends a request.

    Attributes:
        name: of the token, or of the user; `local` where everybody on this machine may come in.
        operator: whether actions are allowed.
        scope: the mailboxes that may be seen.
        session: what a form's token is made from.
        logged_in: whether there is a session that can be ended.
    """

    name: str
    operator: bool
    scope: Scope
    session: str = ""
    logged_in: bool = False

    def require_operator(self) -> None:
        """Check that actions are allowed.

        Raises:
            ForbiddenError: they are not.
        """
        if not self.operator:
            raise ForbiddenError("only an operator may do this")


@dataclass(slots=True)
class _Session:
    token: str
    ends: float


@dataclass
class Access:
    """Recognises who sends a request. Sessions are kept in memory: a restart logs everybody out.

    Attributes:
        section: the configuration.
        mailboxes: returns the configured mailboxes by id, whose labels decide what somebody may see.
        clock: monotonic, in seconds.
    """

    section: ConsoleSection
    mailboxes: Callable[[], Mapping[str, Mailbox]]
    clock: Callable[[], float] = time.monotonic
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    _sessions: dict[str, _Session] = field(default_factory=dict)
    _failures: dict[str, list[float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def open(self) -> bool:
        """Whether everybody on this machine may come in, because nothing else is configured."""
        return not self.section.tokens and self.section.proxy is None and self.section.loopback

    def knows_host(self, host: str) -> bool:
        """Whether a request's Host is a name of ours; another one may belong to a page that reads us through it."""
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        name = name.strip("[]").lower()
        known = {one.lower() for one in self.section.hosts}
        if name in known or (self.section.loopback and name in _LOCAL_HOSTS | {self.section.address}):
            return True
        # A token is kept by the browser for the name that it was given under; a proxy's header field is not.
        return bool(self.section.tokens) and self.section.proxy is None and not known

    def identify(self, request: HTTPConnection) -> Identity:
        """Return who sends a request.

        Raises:
            NotLoggedInError: nobody that is known.
        """
        if self.open:
            return Identity("local", operator=True, scope=Scope(), session="local")
        kind, _, secret = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and (token := self._token(secret.strip())) is not None:
            return self._identity(token)
        found = self._of_session(request.cookies.get(COOKIE, "")) or self._of_proxy(request)
        if found is None:
            raise NotLoggedInError("log in first")
        return found

    def log_in(self, secret: str, address: str) -> str:
        """Return the id of a new session for whoever has a token.

        Args:
            secret: the token.
            address: where the request comes from, for which failures are counted.

        Raises:
            NotLoggedInError: there is no such token.
            TooManyLoginsError: too many logins from there failed lately.
        """
        now = self.clock()
        with self._lock:
            failures = [at for at in self._failures.get(address, []) if now - at < _FAILURE_SECONDS]
            if len(failures) >= _FAILURES:
                raise TooManyLoginsError("too many logins failed; try again in five minutes")
            token = self._token(secret)
            if token is None:
                self._failures.pop(address, None)
                self._failures[address] = [*failures, now]
                _bound(self._failures)
                raise NotLoggedInError("there is no such token")
            session = secrets.token_urlsafe(32)
            self._sessions[session] = _Session(token.name, now + SESSION_SECONDS)
            _bound(self._sessions)
            return session

    def log_out(self, session: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(session, None)

    def form_token(self, identity: Identity) -> str:
        """Return what a form of this session carries, so that no page elsewhere can send it."""
        return hmac.new(self._key, f"{identity.name}\0{identity.session}".encode(), "sha256").hexdigest()

    def is_form_token(self, identity: Identity, token: str) -> bool:
        """Whether a form was made for this session."""
        return hmac.compare_digest(self.form_token(identity).encode(), token.encode())

    def _token(self, secret: str) -> TokenSection | None:
        digest = hashlib.sha256(secret.encode()).hexdigest()
        return next((one for one in self.section.tokens if hmac.compare_digest(one.sha256, digest)), None)

    def _of_session(self, session: str) -> Identity | None:
        with self._lock:
            known = self._sessions.get(session)
        if known is None or self.clock() >= known.ends:
            return None
        token = next((one for one in self.section.tokens if one.name == known.token), None)
        return None if token is None else self._identity(token, session)

    def _of_proxy(self, request: HTTPConnection) -> Identity | None:
        proxy = self.section.proxy
        names = request.headers.getlist(proxy.header) if proxy else []
        if proxy is None or request.client is None or not _is_in(request.client.host, proxy.addresses):
            return None
        if len(names) != 1 or not names[0]:
            return None  # one of two may be what a browser sent
        (name,) = names
        users = {user.name: user for user in proxy.users}
        user = users.get(name) or users.get("*")
        return None if user is None else self._identity(user, f"proxy {name}", name)

    def _identity(self, rights: TokenSection | UserSection, session: str = "", name: str | None = None) -> Identity:
        scope = self._scope(rights)
        return Identity(name or rights.name, rights.role == "operator", scope, session, session in self._sessions)

    def _scope(self, rights: TokenSection | UserSection) -> Scope:
        if not rights.mailboxes and not rights.labels:
            return Scope()
        wanted = rights.labels.items()
        return Scope(
            frozenset(
                box.id
                for box in self.mailboxes().values()
                if (not rights.mailboxes or box.id in rights.mailboxes) and wanted <= box.labels.items()
            )
        )


def _is_in(address: str, networks: list[str]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(found in ipaddress.ip_network(network) for network in networks)


def _bound(kept: dict[str, Any]) -> None:
    """Forget the oldest entry of a dictionary that grew too large."""
    if len(kept) > _MOST:
        kept.pop(next(iter(kept)))
