"""Presets of large providers: `provider: gmail` instead of host, port and the rest.

Each fact cites its source. Where a provider publishes nothing, the general defaults apply.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from ingest.domain.mailbox import Mechanism, Quirks


class Provider(StrEnum):
    """The presets."""

    GENERIC = "generic"
    GMAIL = "gmail"
    MICROSOFT365 = "microsoft365"
    YAHOO = "yahoo"
    ZOHO = "zoho"


@dataclass(frozen=True, slots=True)
class Preset:
    """Defaults of one provider; options of the mailbox take precedence.

    Attributes:
        host: of the POP3 server; port and TLS are 995 and implicit with all of them. None: required in the mailbox.
        token_url: of OAuth2; `{tenant}` stands for the option.
        user_scope: scope of a token for a user who has consented.
        application_scope: scope of a token for an application or a service account.
        mechanism: SASL mechanism that carries the token.
        quirks: known deviations of the server.
        connections: default of `limits.connections`. Gmail and Microsoft limit connections by account, and Mailhaul
            opens one per account; ten per host would delay users with thousands of mailboxes there.
    """

    host: str | None = None
    token_url: str | None = None
    user_scope: str | None = None
    application_scope: str | None = None
    mechanism: Mechanism = Mechanism.XOAUTH2
    quirks: Quirks = field(default_factory=Quirks)
    connections: int | None = None


PRESETS: dict[Provider, Preset] = {
    Provider.GENERIC: Preset(),
    # developers.google.com/workspace/gmail/imap/imap-smtp: host, TLS from the start, XOAUTH2. One scope for all of
    # Gmail's protocols: .../gmail/imap/xoauth2-protocol. POP shows a window of some 250 conversations, the next ones
    # after a session that fetched those. Google counts 1,250 MB a day by POP (support.google.com/a/answer/1071518),
    # and 15 connections to an account.
    Provider.GMAIL: Preset(
        host="pop.gmail.com",
        token_url="https://oauth2.googleapis.com/token",  # noqa: S106 - an address
        user_scope="https://mail.google.com/",
        application_scope="https://mail.google.com/",
        quirks=Quirks(lists_window=True),
        connections=100,
    ),
    # learn.microsoft.com/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-
    # by-using-oauth: scopes, POP.AccessAsApp, and AUTH in two lines: an initial response is refused. An account may
    # have 20 connections (Exchange's PopMaxConcurrency).
    Provider.MICROSOFT365: Preset(
        host="outlook.office365.com",
        token_url="https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token",  # noqa: S106 - an address
        user_scope="https://outlook.office.com/POP.AccessAsUser.All offline_access",
        application_scope="https://outlook.office365.com/.default",
        quirks=Quirks(two_step_auth=True),
        connections=100,
    ),
    # help.yahoo.com, "POP access settings": host and TLS; third-party programs use an app password.
    Provider.YAHOO: Preset(host="pop.mail.yahoo.com"),
    # zoho.com/mail/help/pop-access.html: this host is for domains of one's own in the US data centre (others:
    # poppro.zoho.eu, poppro.zoho.in ...); with two-factor authentication an app password.
    Provider.ZOHO: Preset(host="poppro.zoho.com"),
}
