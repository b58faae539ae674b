"""What a logout token says (OpenID Connect Back-Channel Logout 1.0, section 2.6), once its signature was verified."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ingest.errors import SignOnRefusedError

_EVENT = "http://schemas.openid.net/event/backchannel-logout"
# Seconds for which a token counts after it was issued, also if it says longer; the specification advises two minutes.
_LONGEST = 600


@dataclass(frozen=True, slots=True)
class LoggedOut:
    """Whose sessions are to end.

    Attributes:
        subject: all of this user's; None if the token does not say.
        sid: this one only; None for all of the user's.
        token_id: of the token, which no other token of the provider has.
        seconds: after which the token is no longer accepted, at the latest.
    """

    subject: str | None
    sid: str | None
    token_id: str
    seconds: float


def logged_out(claims: dict[str, Any], issuer: str, client_id: str, now: float, skew: float) -> LoggedOut:
    """Return whose sessions a token ends.

    Args:
        claims: of the token.
        issuer: that has to have issued it.
        client_id: that it has to be for.
        now: seconds since 1970.
        skew: seconds by which clocks may differ.

    Raises:
        SignOnRefusedError: the token is another one, has expired, or names nobody.
    """
    audience = claims.get("aud")
    events = claims.get("events")
    issued, expires = claims.get("iat"), claims.get("exp", now)
    subject, sid, token_id = claims.get("sub"), claims.get("sid"), claims.get("jti")
    reasons = {
        "iss": claims.get("iss") == issuer,
        "aud": client_id in (audience if isinstance(audience, list) else [audience]),
        "iat": now - _LONGEST - skew <= _number(issued) <= now + skew,
        "exp": _number(expires) > now - skew,
        "jti": _is_text(token_id),
        "nonce": "nonce" not in claims,  # of an ID token
        "events": isinstance(events, dict) and isinstance(events.get(_EVENT), dict),
        "sub": subject is None or _is_text(subject),
        "sid": (sid is None and subject is not None) or _is_text(sid),
    }
    wrong = next((claim for claim, fits in reasons.items() if not fits), None)
    if wrong is not None:
        raise SignOnRefusedError(f"the logout token is invalid ({wrong})")
    return LoggedOut(subject, sid, str(token_id), _LONGEST + 2 * skew)


def _number(value: object) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else float("nan")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""
