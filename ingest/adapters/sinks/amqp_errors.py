"""What an AMQP broker and the way to it say when something fails, in our words.

Reply codes are those of AMQP 0-9-1 (https://www.rabbitmq.com/amqp-0-9-1-reference, "Constants"). All of them are the
sink's trouble but two, which speak of a message that is too large.
"""

from __future__ import annotations

import ssl

from kombu.transport.pyamqp import Transport

from ingest.adapters.sinks.batches import SpoiltError, UnavailableError

# What py-amqp raises, sockets' own errors included.
ERRORS: tuple[type[Exception], ...] = (*Transport.connection_errors, *Transport.channel_errors)

_ACCESS = "user and password are not accepted, or the user may not write there: correct them, or the permissions"
_ANSWERS = {
    320: ("connection_forced", "the broker closes connections; see whether it is being stopped"),
    403: ("access_refused", _ACCESS),
    404: ("not_found", "there is no such exchange or queue: create it, or correct its name"),
    506: ("resource_error", "the broker lacks memory, disk or descriptors: see its log"),
    530: ("not_allowed", "there is no such virtual host, or the user may not enter it: correct `url`"),
}
# AMQP's own code, and the one that RabbitMQ gives to what is above its `max_message_size`.
_SPOILT = {311: "too_large", 406: "precondition_failed"}
# The first line that fits counts. A write that took too long ends as EAGAIN, or as OpenSSL's word for it.
_FAILURES: tuple[tuple[tuple[type[Exception], ...], str, str], ...] = (
    (
        (TimeoutError, BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError),
        "timeout",
        "did not answer in time; see whether it blocks publishers, for want of memory or disk",
    ),
    ((ssl.SSLCertVerificationError,), "tls", "its certificate cannot be trusted; correct it, or set `ca`"),
    ((ssl.SSLError,), "tls", "TLS failed; see whether it speaks TLS on this port"),
)


def translated(error: Exception) -> UnavailableError | SpoiltError:
    """One of `ERRORS` as what follows from it."""
    code = getattr(error, "reply_code", None)
    if code in _SPOILT:
        return SpoiltError(_SPOILT[code])
    if code in _ANSWERS:
        return UnavailableError(*_ANSWERS[code])
    if code:
        return UnavailableError(f"amqp_{code}", f"refuses ({code}); see the broker's log")
    for types, reason, text in _FAILURES:
        if isinstance(error, types):
            return UnavailableError(reason, text)
    return UnavailableError("connect", "cannot be reached, or hung up; see whether it runs")
