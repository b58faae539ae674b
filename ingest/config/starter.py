"""A first configuration: one mailbox, everything on this machine, each line explained."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

import yaml

from ingest.config.providers import PRESETS, Provider

# Domains whose users have their mail at a known provider. Those with a domain of their own name it themselves.
_DOMAINS = {
    "gmail.com": Provider.GMAIL,
    "googlemail.com": Provider.GMAIL,
    "yahoo.com": Provider.YAHOO,
    "zoho.com": Provider.ZOHO,
    "zohomail.com": Provider.ZOHO,
}
_NOT_IN_IDS = re.compile(r"[^a-z0-9._-]+")
_ID_LENGTH = 63
_ONE_LINE = 2**31


@dataclass(frozen=True, slots=True)
class Application:
    """An application that logs in with OAuth2: its id at the token server, and the directory (Microsoft only)."""

    client_id: str
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class FirstMailbox:
    """What the first configuration needs to know.

    Attributes:
        address: the user name.
        secret: reference to the password, or to the secret of the application.
        provider: who runs the server.
        host: of the server; None with a provider that knows it.
        application: for OAuth2; None to log in with the password.
        data: an absolute folder for the store, the ledger and the events.
        console: whether the packages of the console are installed.
    """

    address: str
    secret: str
    provider: Provider
    host: str | None
    application: Application | None
    data: str
    console: bool = True

    @property
    def id(self) -> str:
        """The mailbox id: what stands before the `@`, as far as an id may contain it."""
        return mailbox_id(self.address)


def mailbox_id(address: str) -> str:
    """Return an id for a mailbox with this address."""
    name = _NOT_IN_IDS.sub("-", address.partition("@")[0].lower()).strip("._-")
    return name[:_ID_LENGTH].rstrip("._-") or "mailbox"


def provider_of(address: str) -> Provider:
    """Return who probably runs the server of an address."""
    return _DOMAINS.get(address.rpartition("@")[2].lower(), Provider.GENERIC)


def first_configuration(first: FirstMailbox) -> str:
    """Return the text of a configuration with one mailbox, with comments."""
    preset = PRESETS[first.provider]
    server = [f"provider: {first.provider}   # host, port and TLS follow from it"]
    if preset.host is None:
        assert first.host is not None
        server = [f"host: {_quoted(first.host)}   # port 995 with TLS; `tls: starttls` or `port` if it differs"]
    login = ["auth:", *(f"  {line}" for line in _login(first))]
    mailbox = [
        f"id: {_quoted(first.id)}   # part of every key in the store; do not change it later",
        *server,
        *login,
        *_POLICY,
    ]
    lines = [*_HEAD, *_places(first.data), *_console(first), "mailboxes:", *_item(mailbox)]
    return "\n".join(lines) + "\n"


def _places(data: str) -> list[str]:
    return [
        "# Where messages are stored. For S3: s3://bucket/prefix",
        f"store: {_quoted(f'file://{quote(data)}/store')}",
        "",
        "# What is done and what is to do. For several machines: redis://host:6379/0 (Redis or Valkey, appendonly)",
        f"ledger: {{embedded: {_quoted(f'{data}/ledger')}}}",
        "",
        "# Who gets the events. Others, such as webhooks and queues: docs/events.md",
        "sinks:",
        f"  - {{type: jsonl, path: {_quoted(f'{data}/events.jsonl')}}}",
        "",
    ]


def _console(first: FirstMailbox) -> list[str]:
    if first.console:
        return [
            "# Search and read the mail in a browser on this machine, at http://127.0.0.1:8480/. To let others in:",
            "# docs/console.md",
            "console: {}",
            "",
        ]
    return ["# For the console in the browser: pip install 'mailhaul[console]', and", "# console: {}", ""]


def _login(first: FirstMailbox) -> list[str]:
    other = "file:PATH" if first.secret.startswith("env:") else "env:NAME"
    address, secret = (
        f"username: {_quoted(first.address)}",
        f"{_quoted(first.secret)}   # a reference; {other} works too",
    )
    if first.application is None:
        return ["type: password", address, f"password: {secret}"]
    tenant = first.application.tenant
    return [
        "type: oauth2",
        address,
        *([] if tenant is None else [f"tenant: {_quoted(tenant)}"]),
        f"client_id: {_quoted(first.application.client_id)}",
        f"client_secret: {secret}",
    ]


def _item(lines: list[str]) -> list[str]:
    return [f"  - {lines[0]}", *(f"    {line}" if line else "" for line in lines[1:])]


def _quoted(text: str) -> str:
    """Return a YAML scalar on one line, without quotes where it needs none."""
    if re.fullmatch(r"[A-Za-z/][A-Za-z0-9_@./%-]*(:[A-Za-z0-9_@./%-]+)*", text) and yaml.safe_load(text) == text:
        return text
    return yaml.safe_dump(text, default_style='"', width=_ONE_LINE).strip()


_HEAD = [
    "# Written by `mailhaul init`. All options: docs/configuration-reference.md",
    "# Try it:  mailhaul check --config FILE     Run it:  mailhaul up --config FILE",
    "",
]
_POLICY = [
    "",
    "# What happens on the server to mail that is stored and processed: `keep` leaves it there, `delete` deletes it,",
    "# `{delete_after: 14d}` does so later.",
    "policy: keep",
    "# How often the mailbox is polled.",
    "interval: 1m",
]
