"""The values that labels of metrics may have, so that no sender and no server can create series."""

from __future__ import annotations

POLL_RESULTS = (
    "success",
    "timeout",
    "connect_error",
    "tls_error",
    "auth_error",
    "locked",
    "throttled",
    "temporary",
    "refused",
    "protocol_error",
    "disabled",
    "store_error",
    "ledger_error",
    "spool_error",
    "internal_error",
)
MESSAGE_RESULTS = ("stored", "duplicate", "oversize", "processed", "published", "failed", "quarantined", "updated")
SCAN_RESULTS = ("clean", "infected", "unscanned")
STORE_OPERATIONS = ("put", "get", "stat", "delete", "erase", "list")
STORE_RESULTS = ("ok", "exists", "missing", "corrupt", "refused", "unavailable")
SINK_RESULTS = ("delivered", "rejected", "unavailable", "gone")
QUEUES = ("poll", "process", "relay")
WAKEUP_RESULTS = ("ok", "error")
LOGIN_METHODS = ("token", "oidc")
LOGIN_RESULTS = ("ok", "failed", "limited", "unavailable")
STAGES = ("process", "publish")

# Types with a label of their own; all others count as "other", so that a sender cannot create series.
ATTACHMENT_TYPES = frozenset(
    {
        "application/pdf",
        "application/xml",
        "application/zip",
        "application/octet-stream",
        "application/pkcs7-mime",
        "application/pkcs7-signature",
        "application/vnd.ms-excel",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/tiff",
        "message/rfc822",
        "text/calendar",
        "text/csv",
        "text/html",
        "text/plain",
        "text/xml",
    }
)
