"""The tables of the catalog, for SQLAlchemy Core. `migrations` creates them.

Times are seconds since 1970. Rows of the other tables go with their message.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, ForeignKey, Index, Integer, MetaData, Table, Text

METADATA = MetaData()
# SQLite numbers rows by itself only in a column of exactly this type.
_ID = BigInteger().with_variant(Integer(), "sqlite")


def _message() -> Column[int]:
    return Column("message", _ID, ForeignKey("messages.id", ondelete="CASCADE"), nullable=False)


MESSAGES = Table(
    "messages",
    METADATA,
    Column("id", _ID, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("mailbox", Text, nullable=False),
    Column("manifest", Text),  # the key of its manifest; null for a message that failed
    Column("date", Float, nullable=False),  # received, else when it was processed
    Column("subject", Text, nullable=False, default=""),
    Column("sender_name", Text, nullable=False, default=""),
    Column("sender", Text, nullable=False, default=""),
    Column("status", Text, nullable=False),
    Column("automatic", Text),
    Column("quarantined", Boolean, nullable=False, default=False),
    Column("size", BigInteger, nullable=False, default=0),
    Column("attachments", Integer, nullable=False, default=0),
    Column("position", Text),  # of its last event in the stream; null where it was read from the store
    Column("seen_at", Float, nullable=False),  # when the catalog read the manifest
    Column("run", Integer, nullable=False, default=0),  # the last rebuild that found it
    Index("messages_by_date", "date", "id"),
    Index("messages_by_mailbox", "mailbox", "date", "id"),
    Index("messages_by_status", "status", "date", "id"),
)
LABELS = Table(
    "labels",
    METADATA,
    _message(),
    Column("label", Text, nullable=False),
    Index("labels_by_label", "label", "message"),
    Index("labels_by_message", "message"),
)
DOCUMENTS = Table(
    "documents",
    METADATA,
    _message(),
    Column("part", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("filename", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Index("documents_by_message", "message"),
    Index("documents_by_kind", "kind", "message"),
)
INVOICES = Table(
    "invoices",
    METADATA,
    _message(),
    Column("part", Text, nullable=False),
    Column("format", Text, nullable=False),
    Column("number", Text),
    Column("issue_date", Text),
    Column("seller", Text),
    Column("buyer", Text),
    Column("currency", Text),
    Column("gross", Float),  # for comparisons; the manifest has the exact amount
    Index("invoices_by_message", "message"),
    Index("invoices_by_gross", "gross"),
)
# When the catalog first saw that a sink had confirmed everything before a position of the stream.
DELIVERIES = Table(
    "deliveries",
    METADATA,
    Column("sink", Text, nullable=False),
    Column("milliseconds", BigInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("seen_at", Float, nullable=False),
    Index("deliveries_by_position", "sink", "milliseconds", "sequence"),
)
# Messages that are gone, and when the catalog saw that: what was read before does not bring them back.
GONE = Table("gone", METADATA, Column("key", Text, primary_key=True), Column("seen_at", Float, nullable=False))
# How far the catalog has read.
STATE = Table("state", METADATA, Column("name", Text, primary_key=True), Column("value", Text, nullable=False))

# The words of a message, in one row with the message's id: `messages_words`, in each database's own form.
WORDS = ("subject", "sender", "filenames", "invoices")
