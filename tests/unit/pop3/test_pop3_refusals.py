"""How -ERR is read: a bad password, or a reason to wait."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.domain.mailbox import Mechanism
from ingest.errors import (
    LoginDelayError,
    LoginRefusedError,
    MaildropAuthError,
    MaildropError,
    MaildropInUseError,
    MaildropRefusedError,
    MaildropTemporaryError,
    MaildropThrottledError,
)
from ingest.pop3 import refusals
from ingest.pop3.events import parse_status
from ingest.pop3.refusal_texts import TEXTS, Text


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"-ERR [AUTH] no", MaildropAuthError),
        (b"-ERR [auth] no", MaildropAuthError),
        (b"-ERR [AUTH] Too many bad attempts, account locked, try again later", MaildropAuthError),
        (b"-ERR [IN-USE] no", MaildropInUseError),
        (b"-ERR [Login-Delay] no", LoginDelayError),
        (b"-ERR [SYS/TEMP] no", MaildropTemporaryError),
        (b"-ERR [SYS/PERM] no", MaildropRefusedError),
        (b"-ERR [XYZ] system busy", MaildropThrottledError),
        (b"-ERR mailbox is LOCKED", MaildropInUseError),
        (b"-ERR maildrop already locked", MaildropInUseError),
        (b"-ERR maildrop lock busy! Is another session active?", MaildropInUseError),
        (b"-ERR Unable to lock maildrop", MaildropInUseError),
        (b"-ERR Too many connections", MaildropThrottledError),
        (b"-ERR login rate exceeded", LoginDelayError),
        (b"-ERR your account is temporarily locked", MaildropThrottledError),
        (b"-ERR server busy", MaildropThrottledError),
        (b"-ERR please try again later", MaildropThrottledError),
        (b"-ERR Password is incorrect, login frequency limited, or system is busy", LoginDelayError),
        (b"-ERR mail storage services unavailable, wait a few minutes", MaildropTemporaryError),
        (b"-ERR Server Unavailable. 21", MaildropTemporaryError),
        (b"-ERR User is authenticated but not connected.", MaildropTemporaryError),
        (b"-ERR Connection is closed. 9", MaildropTemporaryError),
        (b"-ERR Server is under maintenance, try again later", MaildropTemporaryError),
        (b"-ERR Database connection failed", MaildropTemporaryError),
        (b"-ERR authentication backend: cannot contact LDAP server", MaildropTemporaryError),
        (b"-ERR Maximum connections per IP reached", MaildropThrottledError),
        ("-ERR Service momentanément indisponible".encode("latin-1"), MaildropTemporaryError),
        ("-ERR Boîte déjà verrouillée".encode("latin-1"), MaildropInUseError),
        ("-ERR Trop de connexions, réessayez".encode(), MaildropThrottledError),
        ("-ERR Postfach derzeit nicht verfügbar".encode("latin-1"), MaildropTemporaryError),
        ("-ERR Bitte später versuchen".encode("latin-1"), MaildropThrottledError),
        (b"-ERR [SYS/PERM] Your account is not enabled for POP access", MaildropRefusedError),
        (b"-ERR POP3 access is disabled for your account", MaildropRefusedError),
        (b"-ERR [AUTH] Plaintext authentication disallowed on non-secure connections.", MaildropRefusedError),
        (b"-ERR invalid password", LoginRefusedError),
        (b"-ERR Invalid login or password, please try again", LoginRefusedError),
        (b"-ERR user not found in database", LoginRefusedError),
        (b"-ERR Mot de passe incorrect, veuillez r\xc3\xa9essayer", LoginRefusedError),
        (b"-ERR Benutzername oder Passwort falsch", LoginRefusedError),
        (b"-ERR Logon failure: unknown user name or bad password.", LoginRefusedError),
        (b"-ERR", LoginRefusedError),
    ],
)
def test_refused_login_is_a_bad_password_only_without_another_reason(line: bytes, kind: type[MaildropError]) -> None:
    """A code counts more than words; without a code the refusal may be doubted."""
    assert type(refusals.login_refused(parse_status(line), Mechanism.PASSWORD)) is kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("aack, child crashed", MaildropTemporaryError),
        ("unable to fork", MaildropTemporaryError),
        ("unable to open pipe", MaildropTemporaryError),
        ("unable to scan $HOME/Maildir", MaildropTemporaryError),
        ("this user has no $HOME/Maildir", MaildropRefusedError),
        ("Can't get lock.  Try again or use IMAP instead", MaildropInUseError),
        ("Unable to open user's INBOX", MaildropTemporaryError),
        ("cleartext logins disabled", MaildropRefusedError),
        ("cleartext authentication requires STLS", MaildropRefusedError),
        ("A SSL/TLS-connection is required for authentication.", MaildropRefusedError),
        ("Must login over a secure connection", MaildropRefusedError),
        ("LOGIN over non-TLS disabled", MaildropRefusedError),
        ("Client didn't present valid SSL certificate.", MaildropRefusedError),
        ("Your IP: 1.2.3.4 is blacklisted, please see http://blacklist.kpnmail.nl/Help/17", MaildropThrottledError),
        ("mailbox is currently used", MaildropInUseError),
        ("Access denied, mailbox is being accessed", MaildropInUseError),
        ("account is being used by other application", MaildropInUseError),
        ("maildrop is currently in use by another POP3 client", MaildropInUseError),
        ("Mailbox is in inconsistent state, please relogin.", MaildropTemporaryError),
        ("Authentication process died", MaildropTemporaryError),
        ("Auth process broken", MaildropTemporaryError),
        ("Temporary authentication failure. [host:2020]", MaildropTemporaryError),
        ("Could not connect to auth server", MaildropTemporaryError),
        ("authd: No such file or directory", MaildropTemporaryError),
        ("Internal authentication error", MaildropTemporaryError),
        ("Server is not accepting new connections", MaildropTemporaryError),
        ("Maximum POP sessions reached", MaildropThrottledError),
        ("Too many users.", MaildropThrottledError),
        ("Sie haben die maximale Anzahl an Verbindungen erreicht", MaildropThrottledError),
        ("Numero massimo di connessioni superato", MaildropThrottledError),
        ("troppe connessioni", MaildropThrottledError),
        ("Troppi tentativi di accesso, riprovare piu' tardi", MaildropThrottledError),
        ("Casella gia' in uso", MaildropInUseError),
        ("La casella e' bloccata da un'altra sessione", MaildropInUseError),
        ("Servizio momentaneamente non disponibile", MaildropTemporaryError),
        ("Demasiadas conexiones desde su IP", MaildropThrottledError),
        ("El buzon ya esta en uso", MaildropInUseError),
        ("Intentelo de nuevo mas tarde", MaildropThrottledError),
        ("Inténtelo más tarde", MaildropThrottledError),
        ("Serviço temporariamente indisponível", MaildropTemporaryError),
        ("Tente novamente mais tarde", MaildropThrottledError),
        ("Muitas conexões simultâneas", MaildropThrottledError),
        ("Caixa postal em uso por outra sessão", MaildropInUseError),
        ("Te veel verbindingen", MaildropThrottledError),
        ("Probeer het later opnieuw", MaildropThrottledError),
        ("Dienst tijdelijk niet beschikbaar", MaildropTemporaryError),
        ("Postvak is in gebruik", MaildropInUseError),
        ("Zbyt wiele połączeń", MaildropThrottledError),
        ("Spróbuj ponownie później", MaildropThrottledError),
        ("Usługa chwilowo niedostępna", MaildropTemporaryError),
        ("Skrzynka jest używana przez inną sesję", MaildropInUseError),
        ("Слишком много соединений", MaildropThrottledError),
        ("Попробуйте позже", MaildropThrottledError),
        ("Сервис временно недоступен", MaildropTemporaryError),
        ("Почтовый ящик заблокирован другим сеансом", MaildropInUseError),
        ("登录频率过高", MaildropThrottledError),
        ("系统繁忙,请稍后再试", MaildropThrottledError),
        ("服务暂时不可用", MaildropTemporaryError),
        ("An error occurred while processing your request", MaildropTemporaryError),
        ("Mailbox backend failure", MaildropTemporaryError),
        ("Error opening mailbox", MaildropTemporaryError),
        ("cannot open mailbox: Input/output error", MaildropTemporaryError),
        ("No space left on device", MaildropTemporaryError),
        ("Resource temporarily unavailable", MaildropTemporaryError),
        ("Broken pipe", MaildropTemporaryError),
        ("fork failed", MaildropTemporaryError),
        ("Login failed: server failure", MaildropTemporaryError),
        ("No route to backend", MaildropTemporaryError),
        ("Upstream server timed out", MaildropTemporaryError),
        ("502 Bad gateway", MaildropTemporaryError),
        ("proxy: connect to backend failed", MaildropTemporaryError),
        ("Unable to establish connection with IMAP server", MaildropTemporaryError),
        ("LDAP: Invalid credentials for bind", MaildropTemporaryError),
        ("kerberos: KDC unreachable", MaildropTemporaryError),
        ("authentication service down", MaildropTemporaryError),
        ("Authentication server not reachable", MaildropTemporaryError),
        ("Invalid login", LoginRefusedError),
        ("Authentication failed.", LoginRefusedError),
        ("authorization failed", LoginRefusedError),
        ("Username and password not accepted.", LoginRefusedError),
        ('Password supplied for "joe" is incorrect.', LoginRefusedError),
        ("Login failed.", LoginRefusedError),
        ("Unable to log on", LoginRefusedError),
        ("Utente o password errati", LoginRefusedError),
        ("Usuario o contraseña incorrectos", LoginRefusedError),
        ("Usuário ou senha inválidos", LoginRefusedError),
        ("Gebruikersnaam of wachtwoord onjuist", LoginRefusedError),
        ("Nieprawidłowy login lub hasło", LoginRefusedError),
        ("Неверный логин или пароль", LoginRefusedError),
        ("Application password is REQUIRED", LoginRefusedError),
        ("用户名或密码错误", LoginRefusedError),
        ("Login fail. Password is incorrect", LoginRefusedError),
        ("(#AUTH012) Incorrect username or password.", LoginRefusedError),
        ("User unknown", LoginRefusedError),
        ("No such user here", LoginRefusedError),
        ("Account does not exist", LoginRefusedError),
        ("access denied", LoginRefusedError),
        ("Permission denied", LoginRefusedError),
        ("Passwort falsch oder Konto unbekannt", LoginRefusedError),
        ("Bad login", LoginRefusedError),
        ("Sorry, your password has expired", LoginRefusedError),
        ("Account disabled", LoginRefusedError),
        ("User has not enabled POP3 service", MaildropRefusedError),
        ("POP3 is not available for your account type", MaildropRefusedError),
        ("POP service is disabled for this user", MaildropRefusedError),
        ("POP3 ist deaktiviert", MaildropRefusedError),
        ("L'accès POP est désactivé pour ce compte", MaildropRefusedError),
        ("POP no habilitado", MaildropRefusedError),
        ("您没有开通POP3服务", MaildropRefusedError),
        ("You must wait 5 minutes before checking mail again", LoginDelayError),
    ],
)
def test_text_of_another_server_or_language_is_read_too(text: str, kind: type[MaildropError]) -> None:
    assert type(refusals.login_refused(parse_status(f"-ERR {text}".encode()), Mechanism.PASSWORD)) is kind


@pytest.mark.parametrize("row", TEXTS, ids=lambda row: row.example)
def test_each_listed_text_means_what_its_row_says(row: Text) -> None:
    first = next(other for other in TEXTS if other.matches(row.example))
    error = refusals.login_refused(parse_status(b"-ERR " + row.example.encode()), Mechanism.PASSWORD)
    assert type(error) is (LoginRefusedError if row.kind is MaildropAuthError else row.kind)
    assert first.kind is row.kind


@pytest.mark.parametrize("row", TEXTS, ids=lambda row: row.example)
def test_each_listed_text_is_documented(row: Text) -> None:
    page = Path(__file__).parents[3] / "docs" / "pop3.md"
    lines = [line for line in page.read_text().splitlines() if row.example in line]
    assert any(row.source in line and f"`{row.kind.result}`" in line for line in lines)


@pytest.mark.parametrize(
    ("line", "option"),
    [
        (b"-ERR too short poll interval (15 min)", "`interval`"),
        (b"-ERR Exceeded the login limit for a 15 minute period.", "`interval`"),
        (b"-ERR Too many simultaneous connections. (Failure)", "`limits.connections`"),
        (b"-ERR Maximum connections per IP reached", "`limits.connections`"),
        (b"-ERR [IN-USE] Maximum number of connections from user+IP exceeded", "`limits.connections`"),
        (b"-ERR [SYS/PERM] Your account is not enabled for POP access.", "account's settings"),
        (b"-ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.", "`tls: starttls`"),
        (b"-ERR cleartext logins disabled", "`tls: starttls`"),
        (b"-ERR [AUTH] Client didn't present valid SSL certificate.", "`client_certificate`"),
        (b"-ERR [IN-USE] no", "Let no other program poll it"),
    ],
)
def test_remedy_names_the_option_that_helps(line: bytes, option: str) -> None:
    text = str(refusals.login_refused(parse_status(line), Mechanism.PASSWORD))
    assert option in text
    if b"onnections" in line:
        assert "program" not in text, "a limit per address is nobody else's fault"


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"-ERR what?", MaildropRefusedError),
        (b"-ERR [SYS/TEMP] x", MaildropTemporaryError),
        (b"-ERR too many connections", MaildropThrottledError),
    ],
)
def test_refused_command_is_no_bad_password(line: bytes, kind: type[MaildropError]) -> None:
    assert type(refusals.command_refused(parse_status(line), "UIDL")) is kind


@pytest.mark.parametrize(
    "line", [b"-ERR [IN-USE] x", b"-ERR [LOGIN-DELAY] x", b"-ERR [SYS/TEMP] x", b"-ERR busy", b"-ERR [SYS/PERM] x"]
)
def test_each_refusal_quotes_the_server_and_says_what_to_do(line: bytes) -> None:
    text = str(refusals.login_refused(parse_status(line), Mechanism.PASSWORD))
    quoted = line.removeprefix(b"-ERR ").decode()
    assert f"{quoted}. " in text
    assert text.endswith(".")


def test_refused_token_is_not_called_a_password() -> None:
    status = parse_status(b"-ERR Authentication failure")
    assert "access token" in str(refusals.login_refused(status, Mechanism.XOAUTH2))
    assert "app password" in str(refusals.login_refused(status, Mechanism.PASSWORD))


def test_reason_of_a_refusal_never_quotes_the_server() -> None:
    """It goes into logs."""
    assert refusals.reason(parse_status(b"-ERR [sys/temp] a@b")) == "sys/temp"
    assert refusals.reason(parse_status(b"-ERR [JOE@EXAMPLE.ORG] x")) == "refused"
