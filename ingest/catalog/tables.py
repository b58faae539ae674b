"""The tables of the catalog, for SQLAlchemy Core. `migrations` creates them.

Times are seconds since 1970. Rows of the other tables go with their message.

A message's id is its place in the list: the second in which it was received, then a number that follows from its key.
Every list is in the order of ids, so that a page is read in that order and ends after as many messages as it shows,
however many fit.
"""

from __future__ import annotations

from zlib import crc32

from sqlalchemy import BigInteger, Boolean, Column, Float, ForeignKey, Index, Integer, MetaData, Table, Text

METADATA = MetaData()
# SQLite numbers rows by itself only in a column of exactly this type.
_ID = BigInteger().with_variant(Integer(), "sqlite")
# Bits of an id within a second, and the last second that fits into 63 bits.
_SECOND = 20
_LAST_SECOND = 2**43 - 2

MESSAGES = Table(
    "messages",
    METADATA,
    Column("id", _ID, primary_key=True, autoincrement=False),
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
    Column("attachments", BigInteger, nullable=False, default=0),
    Column("details", Text, nullable=False),  # JSON: labels, documents and invoices, as a list shows them
    Column("position", Text),  # of its last event in the stream; null where it was read from the store
    Column("seen_at", Float, nullable=False),  # when the catalog read the manifest
    Column("version", BigInteger, nullable=False),  # updates of its manifest; -1 for a message that failed
    Column("digest", BigInteger, nullable=False),  # of what was read: the same manifest need not be written again
    Column("run", Integer, nullable=False, default=0),  # the last rebuild that found it
    Index("messages_by_mailbox", "mailbox", "id").ddl_if(dialect="postgresql"),  # SQLite asks the index of words
)
# Totals of invoices, for comparisons; the manifest has the exact amounts.
AMOUNTS = Table(
    "amounts",
    METADATA,
    Column("message", _ID, ForeignKey("messages.id", ondelete="CASCADE"), nullable=False),
    Column("gross", Float, nullable=False),
    Index("amounts_by_message", "message"),
    Index("amounts_by_gross", "gross", "message"),
)
# How many messages there are of each mailbox: counting a million rows takes too long for a page.
TOTALS = Table(
    "totals",
    METADATA,
    Column("mailbox", Text, primary_key=True),
    Column("messages", BigInteger, nullable=False),
)
# The last answer of each sink to each event; without a sink, when the message was listed on its server.
ANSWERS = Table(
    "answers",
    METADATA,
    Column("id", _ID, primary_key=True),
    Column("event", Text, nullable=False),
    Column("sink", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("at", Float, nullable=False),
    Column("failure", Text, nullable=False),
    Index("answers_by_event", "event", "sink", unique=True),
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
# Messages that are gone, and the number of the write that removed them: what was read before does not bring them
# back.
GONE = Table("gone", METADATA, Column("key", Text, primary_key=True), Column("number", BigInteger, nullable=False))
# How far the catalog has read.
STATE = Table("state", METADATA, Column("name", Text, primary_key=True), Column("value", Text, nullable=False))

# The words of a message, in one row with the message's id: `messages_words`, in each database's own form. In
# `filters` are words that we make (`rows.token`), so that a search by mailbox or label reads the same index.
WORDS = ("subject", "sender", "filenames", "invoices", "filters")
TEXTS = WORDS[:-1]


def first_id(date: float) -> int:
    """Return the lowest id of a message received in the second of `date` (seconds since 1970)."""
    return max(0, min(int(date), _LAST_SECOND)) << _SECOND


def place_of(date: float, key: str) -> int:
    """Return the id of a message, if no other one has it.

    Args:
        date: seconds since 1970. What is dated before 1970 is first.
        key: the message key.
    """
    return first_id(date) | (crc32(key.encode()) & (1 << _SECOND) - 1)
