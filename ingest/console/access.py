"""Who may see and do what: the one place that decides it, for search, API, pages and downloads alike."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from ingest.catalog.queries import Scope
from ingest.console.limits import LoginLimits, client_of, is_in
from ingest.errors import Fault, LedgerUnavailableError, MailhaulError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from starlette.requests import HTTPConnection

    from ingest.config.console import ConsoleSection, GroupSection, TokenSection, UserSection
    from ingest.domain.mailbox import Mailbox
    from ingest.ports.sessions import Sessions

    Rights = TokenSection | UserSection | GroupSection

SESSION_SECONDS = 12 * 3600.0
# Characters of a session's secret; a longer one is not looked for.
_LONGEST_SECRET = 100
_EVERYBODY = "*"
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


class NotLoggedInError(MailhaulError):
    """Nobody is logged in."""

    fault = Fault.OPERATOR
    code = "not_logged_in"


class ForbiddenError(MailhaulError):
    """Whoever is logged in may not do this."""

    fault = Fault.OPERATOR
    code = "forbidden"


@dataclass(frozen=True, slots=True)
class Identity:
    """Whoever sends a request.

    Attributes:
        name: of the token, or of the user; `local` where everybody on this machine may come in.
        operator: whether actions are allowed.
        scope: the mailboxes that may be seen.
        session: the secret of the session; empty without one.
        by_provider: whether the identity provider logged somebody in.
    """

    name: str
    operator: bool
    scope: Scope
    session: str = ""
    by_provider: bool = False

    @property
    def logged_in(self) -> bool:
        """Whether there is a session that can be ended."""
        return self.session != ""

    def require_operator(self) -> None:
        """Check that actions are allowed.

        Raises:
            ForbiddenError: they are not.
        """
        if not self.operator:
            raise ForbiddenError("only an operator may do this")


class Session(BaseModel):
    """Who logged in, as the ledger keeps it. What it allows is looked up in the configuration at every request.

    Attributes:
        name: of the token, or of the user as the provider writes it.
        proof: the hash of the token, or the provider and the client: with another one the session is over.
        groups: of the user, as far as the configuration names them; None for a token.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    proof: str
    groups: list[str] | None = None


@dataclass
class Access:
    """Recognises who sends a request. Sessions are in the ledger, so that several consoles share them.

    Attributes:
        section: the configuration.
        mailboxes: returns the configured mailboxes by id, whose labels decide what somebody may see.
        sessions: where sessions are kept.
        clock: monotonic, in seconds.
    """

    section: ConsoleSection
    mailboxes: Callable[[], Mapping[str, Mailbox]]
    sessions: Sessions
    clock: Callable[[], float] = time.monotonic
    limits: LoginLimits = field(init=False)
    logout_limits: LoginLimits = field(init=False)
    _key: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    _shared: str = ""

    def __post_init__(self) -> None:
        self.limits = LoginLimits(self.clock)
        self.logout_limits = LoginLimits(self.clock)  # so that nobody keeps a provider from logging out

    @property
    def open(self) -> bool:
        """Whether everybody on this machine may come in, because nothing else is configured."""
        section = self.section
        return not section.tokens and section.proxy is None and section.oidc is None and section.loopback

    def is_secure(self, request: HTTPConnection) -> bool:
        """Whether the browser speaks TLS, so that its cookies are sent over TLS only."""
        if self.section.oidc is not None:
            return self.section.oidc.url.startswith("https:")
        return request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"

    def cookie(self, request: HTTPConnection, name: str = "session") -> str:
        """Return the name of a cookie. Over TLS no neighbour of this host can set it, which the prefix demands."""
        return f"{'__Host-' if self.is_secure(request) else ''}mailhaul_{name}"

    def client(self, request: HTTPConnection) -> str:
        """Return the address for which failed logins count."""
        proxy = self.section.proxy
        return client_of(request, [*self.section.trusted_proxies, *(proxy.addresses if proxy else [])])

    def knows_host(self, host: str) -> bool:
        """Whether a request's Host is a name of ours; another one may belong to a page that reads us through it."""
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        name = name.strip("[]").lower()
        known = {one.lower() for one in self.section.hosts}
        if self.section.oidc is not None:
            known.add(urlsplit(self.section.oidc.url).hostname or "")
        if name in known or (self.section.loopback and name in _LOCAL_HOSTS | {self.section.address}):
            return True
        # A token is kept by the browser for the name that it was given under; a proxy's header field is not.
        return bool(self.section.tokens) and self.section.proxy is None and not known

    def identify(self, request: HTTPConnection, *, used: bool = True) -> Identity:
        """Return who sends a request.

        Args:
            request: to answer.
            used: whether a session counts as used; a page that brings itself up to date does not use it.

        Raises:
            NotLoggedInError: nobody that is known.
        """
        if self.open:
            return Identity("local", operator=True, scope=Scope())
        kind, _, secret = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and (token := self._token(secret.strip())) is not None:
            return self._identity(token)
        idle = self.section.session_idle if used else None
        found = self._of_session(request.cookies.get(self.cookie(request), ""), idle) or self._of_proxy(request)
        if found is None:
            raise NotLoggedInError("log in first")
        return found

    def log_in(self, secret: str, client: str) -> str:
        """Return the secret of a new session for whoever has a token.

        Args:
            secret: the token.
            client: for which failures are counted.

        Raises:
            NotLoggedInError: there is no such token.
            TooManyLoginsError: too many logins from there failed lately.
        """
        self.limits.require(client)
        token = self._token(secret)
        if token is None:
            self.limits.failed(client)
            raise NotLoggedInError("there is no such token")
        return self._begin(Session(name=token.name, proof=token.sha256), [_digest(f"token\0{token.name}")])

    def log_in_by_provider(self, name: str, groups: Collection[str], subject: str, sid: str | None) -> str:
        """Return the secret of a new session for whoever the identity provider names.

        Args:
            name: of the user.
            groups: of the user.
            subject: of the user, which no other user of the provider has.
            sid: of the session at the provider, if that says.

        Raises:
            ForbiddenError: none of them may come in.
        """
        assert self.section.oidc is not None
        known = [role.group for role in self.section.oidc.roles if role.group in groups or role.group == _EVERYBODY]
        if not known:
            raise ForbiddenError("your account may not use this console; ask its operator for a role")
        names = [self._name("sub", subject), self._name("sid", sid) if sid else self._name("no sid", subject)]
        return self._begin(Session(name=name, proof=self._provider, groups=known), names)

    def _begin(self, session: Session, names: list[str]) -> str:
        """Keep a new session, and return its secret."""
        secret = secrets.token_urlsafe(32)
        text, idle = session.model_dump_json(exclude_none=True), self.section.session_idle
        self.sessions.put_session(_digest(secret), text, SESSION_SECONDS, idle, names)
        return secret

    def _name(self, claim: str, value: str) -> str:
        """Return a name for sessions that the provider can end by the value of a claim."""
        return _digest(f"{self._provider}\0{claim}\0{value}")

    def log_out(self, session: str) -> None:
        """End a session."""
        if session:
            self.sessions.drop_session(_digest(session))

    def end_by_provider(self, subject: str | None, sid: str | None, token_id: str, seconds: float) -> int | None:
        """End the sessions of a user, or of one session at the provider.

        Args:
            subject: the user.
            sid: the session; all of the user's if that is None.
            token_id: of the token that asks for it, which ends sessions only once.
            seconds: for which the token would be accepted.

        Returns:
            How many there were; None if the token was used before.
        """
        names = [self._name("sid", sid)] if sid else [self._name("sub", subject or "")]
        if sid and subject:
            names.append(self._name("no sid", subject))  # of those that began without it, any may be meant
        return self.sessions.drop_sessions(names, self._name("jti", token_id), seconds)

    def goes_on(self, session: str) -> bool:
        """Whether a session has not ended. It counts as used."""
        return self._of_session(session, self.section.session_idle) is not None

    def ended(self, sessions: Collection[str]) -> set[str]:
        """Return those of some sessions that have ended, in one request of the ledger."""
        digests = {_digest(one): one for one in sessions}
        return {digests[one] for one in self.sessions.ended_sessions(digests.keys())}

    def shared_key(self) -> str:
        """Return the key that all consoles of this ledger have in common, also while it is unavailable.

        Raises:
            LedgerUnavailableError: the ledger is unavailable, and the key is not known yet.
        """
        try:
            self._shared = self.sessions.shared_key(self._key)
        except LedgerUnavailableError:
            if not self._shared:
                raise
        return self._shared

    def form_token(self, identity: Identity) -> str:
        """Return what a form of this session carries, so that no page elsewhere can send it."""
        key = identity.session or (self._key if self.section.proxy is None else self.shared_key())
        return hmac.new(key.encode(), f"form\0{identity.name}".encode(), "sha256").hexdigest()

    def is_form_token(self, identity: Identity, token: str) -> bool:
        """Whether a form was made for this session."""
        return hmac.compare_digest(self.form_token(identity).encode(), token.encode())

    def _token(self, secret: str) -> TokenSection | None:
        digest = hashlib.sha256(secret.encode()).hexdigest()
        return next((one for one in self.section.tokens if hmac.compare_digest(one.sha256, digest)), None)

    def _of_session(self, secret: str, idle: float | None) -> Identity | None:
        if not secret or len(secret) > _LONGEST_SECRET:
            return None
        text = self.sessions.session(_digest(secret), idle)
        try:
            session = Session.model_validate_json(text) if text else None
        except ValidationError:
            session = None  # of another version
        if session is None:
            return None
        if session.groups is not None:
            return self._of_provider(session, session.groups, secret)
        token = next((one for one in self.section.tokens if one.name == session.name), None)
        if token is None or token.sha256 != session.proof:
            return None
        return self._identity(token, secret)

    def _of_provider(self, session: Session, groups: list[str], secret: str) -> Identity | None:
        if self.section.oidc is None or session.proof != self._provider:
            return None
        role = next((one for one in self.section.oidc.roles if one.group in groups or one.group == _EVERYBODY), None)
        if role is None:
            return None
        # Not to be mistaken for a token of this name.
        return Identity(f"oidc:{session.name}", role.role == "operator", self._scope(role), secret, by_provider=True)

    @property
    def _provider(self) -> str:
        oidc = self.section.oidc
        return "" if oidc is None else f"{oidc.issuer} {oidc.client_id}"

    def _of_proxy(self, request: HTTPConnection) -> Identity | None:
        proxy = self.section.proxy
        names = request.headers.getlist(proxy.header) if proxy else []
        if proxy is None or request.client is None or not _is_from(request.client.host, proxy.addresses):
            return None
        if len(names) != 1 or not names[0]:
            return None  # one of two may be what a browser sent
        (name,) = names
        users = {user.name: user for user in proxy.users}
        user = users.get(name) or users.get("*")
        if user is None:
            return None
        return Identity(f"proxy {name}", user.role == "operator", self._scope(user))

    def _identity(self, token: TokenSection, session: str = "") -> Identity:
        return Identity(token.name, token.role == "operator", self._scope(token), session)

    def _scope(self, rights: Rights) -> Scope:
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


def _is_from(address: str, networks: list[str]) -> bool:
    try:
        return is_in(ipaddress.ip_address(address), networks)
    except ValueError:
        return False


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
