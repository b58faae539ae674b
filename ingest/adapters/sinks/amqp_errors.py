"""Translate errors of an AMQP broker and of the connection to it.

Reply codes are those of AMQP 0-9-1 (https://www.rabbitmq.com/amqp-0-9-1-reference, "Constants"). All of them concern
the sink as a whole, except two that mean a message is too large.
"""

from __future__ import annotations

import ssl

from kombu.transport.pyamqp import Transport

from ingest.adapters.sinks.batches import BatchRefusedError, UnavailableError

# What py-amqp raises, sockets' own errors included.
ERRORS: tuple[type[Exception], ...] = (*Transport.connection_errors, *Transport.channel_errors)

_ACCESS = "user and password are not accepted, or the user may not write there: correct them or the permissions"
_ANSWERS = {
    320: ("connection_forced", "the broker closes connections; check whether it is being stopped"),
    403: ("access_refused", _ACCESS),
    404: ("not_found", "there is no such exchange or queue: create it, or correct its name"),
    506: ("resource_error", "the broker is out of memory, disk or descriptors: see its log"),
    530: ("not_allowed", "there is no such virtual host, or the user may not access it: correct `url`"),
}
# AMQP's own code, and the one that RabbitMQ uses for messages above its `max_message_size`.
_SPOILT = {311: "too_large", 406: "precondition_failed"}
# The first match counts. A write that times out ends as EAGAIN, or as OpenSSL's equivalent.
_FAILURES: tuple[tuple[tuple[type[Exception], ...], str, str], ...] = (
    (
        (TimeoutError, BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError),
        "timeout",
        "did not answer in time; check whether it blocks publishers because memory or disk is short",
    ),
    ((ssl.SSLCertVerificationError,), "tls", "its certificate cannot be trusted; correct it, or set `ca`"),
    ((ssl.SSLError,), "tls", "TLS failed; check that this port uses TLS"),
)


def translated(error: Exception) -> UnavailableError | BatchRefusedError:
    """Translate one of `ERRORS`."""
    code = getattr(error, "reply_code", None)
    if code in _SPOILT:
        return BatchRefusedError(_SPOILT[code])
    if code in _ANSWERS:
        return UnavailableError(*_ANSWERS[code])
    if code:
        return UnavailableError(f"amqp_{code}", f"refuses ({code}); see the broker's log")
    for types, reason, text in _FAILURES:
        if isinstance(error, types):
            return UnavailableError(reason, text)
    return UnavailableError("connect", "cannot be reached, or closed the connection; check that it is running")
