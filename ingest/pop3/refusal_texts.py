"""Known texts of servers behind -ERR, with their sources, as data."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ingest.errors import (
    LoginDelayError,
    MaildropAuthError,
    MaildropError,
    MaildropInUseError,
    MaildropRefusedError,
    MaildropTemporaryError,
    MaildropThrottledError,
)

INTERVAL = "The server wants more time between two logins: set a longer `interval`."
CONNECTIONS = (
    "The server accepts no more connections from here at once; it is tried again later. "
    "Lower `limits.connections` if this repeats."
)
PATIENCE = (
    "The server wants fewer or rarer connections; it is tried again later. "
    "A longer `interval` or a lower `limits.connections` helps."
)
IN_USE = "Another session holds the maildrop; it is tried again. Let no other program poll it."
TEMPORARY = "The server is out of order at present; it is tried again."
POP3_OFF = "Switch POP3 on in the account's settings at the provider."
TLS = "The server accepts passwords over TLS only: set `tls: implicit` or `tls: starttls`."
CERTIFICATE = "The server demands a client certificate that it trusts: set `client_certificate`, or correct it."
NO_MAILDROP = "The account has no maildrop there; the server's operator has to create it."


@dataclass(frozen=True, slots=True)
class Text:
    """What some servers write behind -ERR.

    Attributes:
        example: one such text.
        source: who writes it.
        pattern: finds it and its kind, without regard to case.
        kind: what it means.
        remedy: a sentence for the person who has to act; empty for the usual one of its kind.
        over_code: it means this even if the server adds a response code that says otherwise.
    """

    example: str
    source: str
    pattern: str
    kind: type[MaildropError]
    remedy: str = ""
    over_code: bool = False

    def matches(self, text: str) -> bool:
        """Whether a server's text is of this kind."""
        return re.search(self.pattern, text, re.IGNORECASE) is not None


# The first row that matches counts. A temporary refusal taken for a wrong password would stop the mailbox for hours,
# a wrong password taken for a temporary one is only tried again, ever more seldom. Non-ASCII letters may arrive in
# any encoding, so the patterns have a wildcard for them.
TEXTS: tuple[Text, ...] = (
    Text(
        "Plaintext authentication disallowed on non-secure (SSL/TLS) connections.",
        "Dovecot, with the code AUTH",
        r"plain ?text (authentication|login|password)s? (is |are )?(disallowed|not allowed|disabled)"
        r"|must (use|issue) .*\b(tls|ssl|stls)\b|(tls|ssl|encryption) (is )?required",
        MaildropRefusedError,
        TLS,
        over_code=True,
    ),
    Text(
        "A SSL/TLS-connection is required for authentication.",
        "hMailServer; nginx writes `cleartext logins disabled`",
        r"clear ?text|(ssl|tls)[- ](connection|session) (is )?required|(login|authentication) requires (stls|tls|ssl)"
        r"|over (a secure|non-?tls|non-?ssl)",
        MaildropRefusedError,
        TLS,
        over_code=True,
    ),
    Text(
        "Client didn't present valid SSL certificate.",
        "Dovecot, with the code AUTH",
        r"client (didn.?t|did not|must) present|(client|ssl|tls) certificate (is )?(required|missing)",
        MaildropRefusedError,
        CERTIFICATE,
        over_code=True,
    ),
    Text(
        "this user has no $HOME/Maildir",
        "qmail",
        r"has no .*maildir",
        MaildropRefusedError,
        NO_MAILDROP,
    ),
    Text(
        "Your account is not enabled for POP access.",
        "Gmail, with the code SYS/PERM",
        r"not enabled (for )?pop|pop3? (access |service )?(is )?(disabled|not (enabled|allowed|permitted))|enable pop"
        r"|pop3? .*not available (for|to|with|in) your",
        MaildropRefusedError,
        POP3_OFF,
    ),
    Text(
        "POP3 ist deaktiviert",
        "providers that write in other languages",
        r"pop3? .*(deaktiviert|nicht (aktiv|frei)|d.{1,2}sactiv|no habilitad|(de|in)shabilitad|disabilitat"
        r"|non .*attiv"
        r"|desativad|niet (actief|ingeschakeld))|(没有|未)开[通启]",
        MaildropRefusedError,
        POP3_OFF,
    ),
    Text(
        "too short poll interval (15 min)",
        "GMX and other free mail services",
        r"poll(ing)? interval|login interval|check(ing)? mail too (often|frequent)"
        r"|\d+ ?min(ute)?s? (period|since|between)|wait .{0,30}before|before (you )?check",
        LoginDelayError,
        INTERVAL,
    ),
    Text(
        "Exceeded the login limit for a 15 minute period. Reduce the frequency of requests to the POP3 server.",
        "Outlook.com",
        r"login limit|reduce the frequency|too (frequent|often)|login rate",
        LoginDelayError,
        INTERVAL,
    ),
    Text(
        "Password is incorrect, login frequency limited, or system is busy",
        "QQ Mail",
        r"login frequency",
        LoginDelayError,
        INTERVAL,
    ),
    Text(
        "Maximum connections per IP reached",
        "hosting providers' proxies",
        r"(maximum|max\.?|limit).{0,30}(connection|session)s?|(connections?|sessions?) limit",
        MaildropThrottledError,
        CONNECTIONS,
    ),
    Text(
        "Too many simultaneous connections. (Failure)",
        "Gmail",
        r"too many .{0,30}(connections|sessions|logins from|ip)\b|connections from (your|this|the same) ",
        MaildropThrottledError,
        CONNECTIONS,
    ),
    Text(
        "Login attempts exceeded, account temporarily locked",
        "many servers; a locked account opens again",
        r"too (many|much)|exceed|rate limit|limited|\bblocked|account.*locked",
        MaildropThrottledError,
    ),
    Text(
        "Your IP is blacklisted",
        "KPN, for an hour after wrong passwords or many logins",
        r"black ?list|\bbanned",
        MaildropThrottledError,
    ),
    Text(
        "Trop de connexions simultanées",
        "French providers",
        r"trop de (connexion|session|tentative)|compte .*(bloqu|verrouill)",
        MaildropThrottledError,
    ),
    Text(
        "Zu viele Verbindungen von Ihrer IP-Adresse",
        "German providers",
        r"zu viele (verbindung|anmelde|login|zugriff|versuch)|maximale anzahl|zu h.{1,2}ufig|konto .*gesperrt",
        MaildropThrottledError,
    ),
    Text(
        "Troppe connessioni simultanee",
        "Italian, Spanish and Portuguese providers",
        r"tropp[ei] (connession|session|tentativ|access)|demasiad[ao]s (conexion|sesion|intent)"
        r"|muit[ao]s (conex|sess|tentativ)|massimo di (conn|sess)|m.{1,2}ximo de (conex|ses)",
        MaildropThrottledError,
    ),
    Text(
        "Te veel verbindingen",
        "Dutch and Polish providers",
        r"te veel (verbinding|sessie|poging)|zbyt wiele",
        MaildropThrottledError,
    ),
    Text(
        "Слишком много соединений",
        "Russian and Chinese providers, in UTF-8",
        r"слишком (много|часто)|превышен|频率|频繁|次数过多",
        MaildropThrottledError,
    ),
    Text(
        "maildrop already locked",
        "RFC 1939 section 4; qpopper, Cyrus and Courier write of a lock too",
        r"\block|in use|already|another (pop3? )?session|(being|currently) (used|accessed|open)",
        MaildropInUseError,
    ),
    Text(
        "Boîte aux lettres déjà utilisée",
        "French providers",
        r"d.{1,2}j.{1,2} (en cours d|utilis|ouvert|connect|verrouill)|en cours d.utilisation",
        MaildropInUseError,
    ),
    Text(
        "Postfach wird bereits abgefragt",
        "German providers",
        r"bereits (abgefragt|ge.ffnet|in benutzung|angemeldet|gesperrt)|postfach .*(gesperrt|belegt)|in benutzung",
        MaildropInUseError,
    ),
    Text(
        "Casella di posta già in uso",
        "Italian, Spanish and Portuguese providers",
        r"\b(in|en|em) uso\b|(casella|buz.{1,2}n|caixa) .*bloc?(ca|que)",
        MaildropInUseError,
    ),
    Text(
        "Postvak is in gebruik",
        "Dutch and Polish providers",
        r"in gebruik|u.{1,4}ywana przez|zablokowana przez",
        MaildropInUseError,
    ),
    Text(
        "Почтовый ящик уже используется",
        "Russian providers, in UTF-8",
        r"ящик .*(использ|занят|заблокирован)",
        MaildropInUseError,
    ),
    Text(
        "aack, child crashed",
        "qmail; also `unable to fork` and `unable to scan $HOME/Maildir`",
        r"crash|\bfork\b|\bpipe\b|unable to (scan|open|read|write)|error (opening|reading)|no space|disk (is )?full",
        MaildropTemporaryError,
    ),
    Text(
        "Mailbox is in inconsistent state, please relogin.",
        "Dovecot",
        r"inconsistent|auth(entication)? (process|server|service|daemon)|no such file|not accepting",
        MaildropTemporaryError,
    ),
    Text(
        "Server Unavailable. 21",
        "Exchange Server (its own faults, whoever logs in)",
        r"unavailable|not connected|temporar|server error|internal",
        MaildropTemporaryError,
    ),
    Text(
        "Connection is closed. 9",
        "Exchange Online",
        r"connection (is|was|has been) closed|backend|connection to .*(failed|refused|lost)",
        MaildropTemporaryError,
    ),
    Text(
        "Server is under maintenance",
        "hosting providers",
        r"maintenance|out of (service|order)|shutting down|going down|overload",
        MaildropTemporaryError,
    ),
    Text(
        "Database connection failed",
        "servers with accounts in a database",
        r"(database|\bsql\b|\bdb\b).{0,40}(connect|error|fail|down|not available|query)"
        r"|(connect|error).{0,30}(database|\bsql\b)",
        MaildropTemporaryError,
    ),
    Text(
        "cannot contact LDAP server",
        "OpenLDAP's text, through servers with accounts in a directory",
        r"(can.?t|cannot|could not|unable to|failed to) (contact|connect|establish|reach|open|bind)"
        r"|\bldap\b|timed? ?out",
        MaildropTemporaryError,
    ),
    Text(
        "Unable to process request at this time",
        "many servers: faults of the machine behind the login",
        r"not responding|not available|unreachable|not reachable|(bad|502|504) gateway|server failure|error occurred"
        r"|(system|unexpected|i/o|read|write) error|out of memory|quota system"
        r"|unable to process|at this time|restart|migrat|gone away|disconnected"
        r"|(maildrop|mailbox|maildir|session) (could|can) ?not be|(could not|failed to) (read|create)",
        MaildropTemporaryError,
    ),
    Text(
        "Servicio temporalmente no disponible",
        "Italian, Spanish and Portuguese providers",
        r"temporalmente|temporaneamente|moment.neamente|non? disponib|indispon|(en|in|em) man[tu]|errore? intern",
        MaildropTemporaryError,
    ),
    Text(
        "Service temporairement indisponible",
        "French providers",
        r"temporaire|indisponible|erreur interne|hors service",
        MaildropTemporaryError,
    ),
    Text(
        "Der Dienst ist derzeit nicht verfügbar",
        "German providers",
        r"derzeit|zur ?zeit|momentan|vor.{1,2}bergehend|nicht (verf.{1,2}gbar|erreichbar)|wartung|interner fehler",
        MaildropTemporaryError,
    ),
    Text(
        "Dienst tijdelijk niet beschikbaar",
        "Dutch and Polish providers",
        r"tijdelijk|niet (beschikbaar|bereikbaar)|onderhoud|chwilowo|tymczasow|niedost.{1,4}pn",
        MaildropTemporaryError,
    ),
    Text(
        "Сервис временно недоступен",
        "Russian and Chinese providers, in UTF-8",
        r"временно|недоступ|暂时|不可用|维护",
        MaildropTemporaryError,
    ),
    Text(
        "Invalid user name or password, please try again",
        "many servers: here `try again` is no request for patience",
        r"(invalid|wrong|incorrect|bad|unknown) (user|login|password|credential)"
        r"|password (you entered )?((is|was) )?(incorrect|wrong|invalid)"
        r"|mot de passe (est )?(incorrect|invalide|erron)"
        r"|(falsches|ung.{1,2}ltiges) passwort|passwort (ist )?(falsch|ung)"
        r"|password (errat|non (corrett|valid))|(contrase.{1,2}a|senha)s? (incorrect|inv.{1,2}lid|no v)"
        r"|wachtwoord (is )?(onjuist|ongeldig)|неверн|密码错误",
        MaildropAuthError,
    ),
    Text(
        "mail storage services busy, wait a few minutes",
        "InterMail; whoever says no more than this wants patience",
        r"busy|try again|\bwait\b|later",
        MaildropThrottledError,
    ),
    Text(
        "Veuillez réessayer plus tard",
        "French providers",
        r"r.{1,2}essayer|plus tard|patienter",
        MaildropThrottledError,
    ),
    Text(
        "Bitte versuchen Sie es später erneut",
        "German providers",
        r"sp.{1,2}ter|versuchen sie es|ausgelastet",
        MaildropThrottledError,
    ),
    Text(
        "Riprovare più tardi",
        "Italian, Spanish and Portuguese providers",
        r"riprova|pi.{1,2} tardi|m.{1,2}s tarde|mais tarde|int.{1,2}ntelo|tente novamente",
        MaildropThrottledError,
    ),
    Text(
        "Probeer het later opnieuw",
        "Dutch and Polish providers",
        r"probeer|opnieuw|spr.{1,2}buj ponownie",
        MaildropThrottledError,
    ),
    Text(
        "Попробуйте позже",
        "Russian and Chinese providers, in UTF-8",
        r"позже|позднее|稍后|繁忙",
        MaildropThrottledError,
    ),
)
