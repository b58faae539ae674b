"""What a search asks of the index of words, in each database's language.

Texts and filters are words of one index, so that a database intersects them in the order of the list and stops after
a page. SQLite reads words in that order where it looks for whole words, and for beginnings of up to four letters,
which it indexes; a longer beginning is replaced by the words that begin with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, cast, column, func, literal, text
from sqlalchemy import table as table_of
from sqlalchemy.dialects.postgresql import TSQUERY

from ingest.catalog.rows import amount_text, token, words_of, writable
from ingest.catalog.tables import TEXTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from ingest.catalog.queries import Scope, Search

WORDS_TABLE = table_of("messages_words", column("rowid"), column("words"))
# Words of a query that are looked for.
_MOST_WORDS = 16
# Letters of the longest beginning that has an index of its own.
_INDEXED_LETTERS = 4
# Words that stand for one longer beginning. Where there are more, their messages are collected, which takes longer
# the more there are.
_MOST_EXPANDED = 200
# Mailboxes of a scope that are looked up in the index.
_MOST_MAILBOXES = 200
_WEIGHTS = dict(zip(TEXTS, "ABCD", strict=True))
# Words that begin with :first, one by one: the index seeks each of them and reads none of their messages.
_EXPAND = text(
    "WITH RECURSIVE found(term) AS ("
    "SELECT (SELECT term FROM messages_vocabulary WHERE term >= :first ORDER BY term LIMIT 1) UNION ALL "
    "SELECT (SELECT term FROM messages_vocabulary WHERE term >= found.term || char(1) ORDER BY term LIMIT 1) "
    "FROM found WHERE found.term < :last LIMIT :most"
    ") SELECT term FROM found WHERE term >= :first AND term < :last"
)


@dataclass(slots=True)
class Wanted:
    """What the index of words has to have of a message: all of `texts`, and one word of each of `filters`.

    Attributes:
        texts: columns (empty: any), and words one after another, the last of which is the beginning of one.
        impossible: whether nothing can be found, as by a word without letters or digits.
    """

    texts: list[tuple[str, list[str]]] = field(default_factory=list)
    filters: list[list[str]] = field(default_factory=list)
    impossible: bool = False


def wanted_by(search: Search, scope: Scope, *, mailboxes: bool) -> Wanted:
    """Return what a search, by somebody who may see a scope, asks of the index of words.

    Args:
        search: what is looked for.
        scope: of who asks.
        mailboxes: whether mailboxes are looked up there too. PostgreSQL has another index for them, and statistics:
            asked for both it would expect far too few messages.
    """
    found = Wanted()
    asked = (("", search.words), ("subject", search.subject), ("sender", search.sender))
    for name, words in (*asked, ("filenames", search.filename), ("invoices", search.invoice)):
        chosen = [parts for word in words.split()[:_MOST_WORDS] if (parts := words_of(word))]
        found.impossible = found.impossible or (bool(words.strip()) and not chosen)
        found.texts += [(name, parts) for parts in chosen]
    equal = {"status": search.status, "label": search.label, "kind": search.kind}
    if mailboxes:
        equal["mailbox"] = search.mailbox
    found.filters += [[token(name, writable(value))] for name, value in equal.items() if value]
    if search.amount is not None:
        found.filters.append([token("amount", amount_text(search.amount))])
    if mailboxes and scope.mailboxes is not None and not search.mailbox and len(scope.mailboxes) <= _MOST_MAILBOXES:
        found.filters.append([token("mailbox", writable(one)) for one in sorted(scope.mailboxes)])
    return found


def matches(connection: Connection, wanted: Wanted) -> ColumnElement[bool]:
    """Return the condition that a row of `WORDS_TABLE` has what is wanted."""
    if connection.dialect.name == "sqlite":
        asked = [_sqlite_text(connection, name, parts) for name, parts in wanted.texts]
        asked += [_any(f'"{word}"' for word in words) for words in wanted.filters]
        return column("messages_words").op("MATCH")(" AND ".join(asked))
    conditions = [_postgresql_text(name, parts) for name, parts in wanted.texts]
    if wanted.filters:
        asked = [f"({' | '.join(words)})" for words in wanted.filters]
        conditions.append(_has(cast(literal(" & ".join(asked)), TSQUERY)))
    return and_(*conditions)


def _sqlite_text(connection: Connection, name: str, parts: list[str]) -> str:
    *before, last = parts
    only = f"{name} : " if name else ""
    if len(last) > _INDEXED_LETTERS:
        limits = {"first": last, "last": last + "\U0010ffff", "most": _MOST_EXPANDED + 1}
        longer = connection.scalars(_EXPAND, limits).all() or [last]
        if len(longer) <= _MOST_EXPANDED:
            return only + _any(f'"{" ".join([*before, word])}"' for word in longer)
    return f'{only}"{" ".join(parts)}"*'


def _any(asked: Iterable[str]) -> str:
    return f"({' OR '.join(asked)})"


def _postgresql_text(name: str, parts: list[str]) -> ColumnElement[bool]:
    """Return the condition that these words follow each other in one column; a weight says in which."""
    if not name and len(parts) == 1:
        return _has(func.to_tsquery("simple", f"'{parts[0]}':*"))
    weights = [_WEIGHTS[name]] if name else _WEIGHTS.values()
    phrases = []
    for weight in weights:
        words = [f"'{part}':{weight}" for part in parts[:-1]] + [f"'{parts[-1]}':*{weight}"]
        phrases.append(f"({' <-> '.join(words)})")
    return _has(func.to_tsquery("simple", " | ".join(phrases)))


def _has(query: ColumnElement[Any]) -> ColumnElement[bool]:
    return WORDS_TABLE.c.words.op("@@")(query)
