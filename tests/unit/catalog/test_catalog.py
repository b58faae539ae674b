"""The catalog: what is found by which field, and that it agrees with the store, whatever was lost or repeated."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, text

from ingest.catalog import answers
from ingest.catalog.answers import AnswerRow, read_answers
from ingest.catalog.catalog import Batch, Catalog
from ingest.catalog.database import CatalogError
from ingest.catalog.feed import Feeder
from ingest.catalog.indexed import IndexedManifest
from ingest.catalog.queries import CursorError, Queries, Scope, Search
from ingest.catalog.rebuild import Rebuild, Rebuilt
from ingest.catalog.rows import Entry, entry_of
from ingest.domain.events import Event
from ingest.domain.invoice import Invoice, InvoiceFields, InvoiceParty
from ingest.domain.keys import Layout
from ingest.domain.mail import Address, Headers
from ingest.domain.manifest import Attachment, Document, MailboxRef, Manifest, Parse, Update
from ingest.domain.record import ObjectRef
from ingest.errors import StoreCorruptError
from ingest.wiring.catalog import open_catalog
from tests.support.bench import Bench, bench, mail, message_key, never
from tests.support.postgresql import postgresql
from tests.support.purging import purge_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVERYTHING = Scope()
NOW = 1_790_000_000.0


@pytest.fixture(scope="module")
def postgresql_server() -> Iterator[str]:
    with postgresql() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Catalog]:
    """An empty catalog in each database."""
    if request.param == "sqlite":
        opened = Catalog.open(f"sqlite:///{tmp_path}/catalog.sqlite")
    else:
        opened = Catalog.open(request.getfixturevalue("postgresql_server"))
        with opened.engine.begin() as connection:
            for table in ("messages", "totals", "deliveries", "gone", "state"):
                connection.execute(text(f"TRUNCATE {table} CASCADE"))
    yield opened
    opened.close()


def ref(name: str) -> ObjectRef:
    return ObjectRef(bucket="b", key=name, size=7, sha256="0" * 64)


def manifest(
    number: int, mailbox: str = "invoices", *, subject: str = "Your invoice", gross: str = "119.00"
) -> Manifest:
    fields = InvoiceFields(number=f"RE-2026/{number:04}", gross=gross, seller=InvoiceParty(name="Müller GmbH"))
    attachment = Attachment(
        part="2",
        filename=f"Rechnung_{number}.xml",
        role="attachment",
        declared_type="application/xml",
        detected_type="application/xml",
        size=7,
        sha256="0" * 64,
        object=ref("a"),
        invoice=Invoice(format="ubl", confidence="certain", fields=fields),
    )
    return Manifest(
        message_key=f"{number:032x}",
        mailbox=MailboxRef(id=mailbox, labels={"tenant": mailbox}, unique_id="1"),
        received_at=datetime.fromtimestamp(NOW + number, UTC),
        raw=ref("raw"),
        headers=Headers(subject=subject, from_=[Address(name="Jörg Weiß", address="billing@acme.example")]),
        attachments=[attachment],
        documents=[Document(kind="invoice", main="2", parts=["2"], reasons=[])],
        labels=["urgent"] if number % 2 else [],
        parse=Parse(status="complete"),
        manifest="k",
    )


def found(catalog: Catalog, search: Search, scope: Scope = EVERYTHING) -> list[int]:
    return [int(one.row["key"], 16) for one in Queries(catalog.engine).search(search, scope).messages]


def indexed(one: Manifest, seen_at: float = NOW, run: int = 0) -> Entry:
    return entry_of(IndexedManifest.model_validate_json(one.to_json()), seen_at, run=run)


def put(catalog: Catalog, *manifests: Manifest, seen_at: float = NOW) -> None:
    catalog.write(Batch(entries=[indexed(one, seen_at) for one in manifests]))


SEARCHES: tuple[tuple[Search, list[int]], ...] = (
    (Search(), [3, 2, 1]),
    (Search(words="rechnung_2"), [2]),
    (Search(words="jorg weiss"), [3, 2, 1]),
    (Search(words="jorg weiß acme"), [3, 2, 1]),
    (Search(words='"OR * NEAR( subject:'), []),
    (Search(words="!!!"), []),
    (Search(sender="billing@acme"), [3, 2, 1]),
    (Search(sender="invoice"), []),
    (Search(subject="crédit"), [3]),
    (Search(filename="rechnung_1.xml"), [1]),
    (Search(invoice="RE-2026/0002"), [2]),
    (Search(invoice="müll"), [3, 2, 1]),
    (Search(amount=119.0), [2, 1]),
    (Search(at_least=119.01, at_most=2000), [3]),
    (Search(at_least=119.0, words="rechnung_1"), [1]),
    (Search(at_most=120.0, label="urgent", mailbox="invoices"), [1]),
    (Search(mailbox="orders"), [3]),
    (Search(label="urgent"), [3, 1]),
    (Search(label="tenant=orders"), [3]),
    (Search(kind="invoice", status="complete"), [3, 2, 1]),
    (Search(kind="logo"), []),
    (Search(mailbox="\0", label="\0", kind="\0", words="\0"), []),
    (Search(since=NOW + 2, until=NOW + 3), [2]),
)


@pytest.mark.parametrize("few", [1_000, 0])
def test_messages_are_found_by_each_field(catalog: Catalog, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both among few, which are looked up, and among many, which are found in the order of the list."""
    monkeypatch.setattr("ingest.catalog.queries._FEW", few)
    monkeypatch.setattr("ingest.catalog.queries._FEW_ASKED", few)
    monkeypatch.setattr("ingest.catalog.matching._MOST_EXPANDED", few)
    monkeypatch.setattr("ingest.catalog.matching._MOST_MAILBOXES", few)
    put(catalog, manifest(1), manifest(2), manifest(3, "orders", subject="Credit note", gross="1190.50"))
    for search, expected in SEARCHES:
        assert found(catalog, search) == expected, search
        assert set(found(catalog, search, Scope(frozenset({"orders"})))) == {3} & set(expected), search
        assert found(catalog, search, Scope(frozenset())) == [], search


def test_pages_follow_each_other_without_gap_or_repetition_while_mail_arrives(catalog: Catalog) -> None:
    put(catalog, *(manifest(number) for number in range(1, 8)))
    queries, after, seen = Queries(catalog.engine), "", []
    while True:
        page = queries.search(Search(), EVERYTHING, 3, after)
        seen += [int(one.row["key"], 16) for one in page.messages]
        put(catalog, manifest(100 + len(seen)))
        if page.next is None:
            break
        after = page.next
    assert seen == [7, 6, 5, 4, 3, 2, 1]
    with pytest.raises(CursorError):
        queries.search(Search(), EVERYTHING, after="x")


def test_manifest_read_earlier_replaces_nothing_newer(catalog: Catalog) -> None:
    """Whatever the clock says: another process may have read it, and clocks are set back."""
    put(catalog, updated(manifest(1, subject="new"), 1), seen_at=NOW)
    put(catalog, manifest(1, subject="old"), seen_at=NOW + 1)
    assert found(catalog, Search(subject="new")) == [1]
    put(catalog, updated(manifest(1, subject="newest"), 2), seen_at=NOW - 3_600)
    assert found(catalog, Search(subject="newest")) == [1]
    assert found(catalog, Search(words="old")) == []


def test_messages_of_one_second_all_get_a_place(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those whose keys ask for the same one; they come in pages without gap or repetition."""
    monkeypatch.setattr("ingest.catalog.catalog.place_of", lambda date, _key: int(date) << 20)
    same = [one.model_copy(update={"received_at": manifest(0).received_at}) for one in map(manifest, range(1, 9))]
    put(catalog, *same[:5])
    put(catalog, *same[5:], manifest(9))
    queries, after, seen = Queries(catalog.engine), "", []
    for _ in range(3):
        page = queries.search(Search(until=NOW + 9), EVERYTHING, 3, after)
        seen += [int(one.row["key"], 16) for one in page.messages]
        after = page.next or ""
    assert sorted(seen) == list(range(1, 9))
    assert found(catalog, Search(since=NOW + 9)) == [9]


def test_totals_follow_messages_that_come_change_and_go(catalog: Catalog) -> None:
    put(catalog, manifest(1), manifest(2), manifest(3, "orders"))
    put(catalog, updated(manifest(1, subject="changed"), 1), manifest(2))
    catalog.write(Batch(gone=[manifest(3, "orders").message_key, "f" * 32]))
    totals = Queries(catalog.engine).totals(EVERYTHING, NOW + 2)
    assert totals == {"invoices": {"messages": 2, "recent": 1}}


def test_tuned_catalog_finds_the_same_and_has_no_word_of_a_purged_message(catalog: Catalog) -> None:
    for number in range(1, 4):
        put(catalog, manifest(number, subject=f"{('zebra', 'heron', 'otter')[number - 1]} for everybody"))
    catalog.write(Batch(gone=[manifest(1).message_key]))
    catalog.tune(never)
    assert found(catalog, Search(words="everybody")) == [3, 2]
    assert found(catalog, Search(words="otter")) == [3]
    if catalog.engine.dialect.name == "sqlite":
        blocks = text("SELECT count(*) FROM messages_words_data WHERE instr(block, CAST(:word AS BLOB))")
        with catalog.engine.connect() as connection:
            assert connection.scalar(text("SELECT count(DISTINCT segid) FROM messages_words_idx")) == 1
            assert connection.scalar(blocks, {"word": "otter"}) == 1
            assert connection.scalar(blocks, {"word": "zebra"}) == 0


def test_scope_hides_a_message_and_its_totals(catalog: Catalog) -> None:
    put(catalog, manifest(1), manifest(2, "orders"))
    queries, scope = Queries(catalog.engine), Scope(frozenset({"orders"}))
    assert queries.message(manifest(1).message_key, scope) is None
    assert queries.message(manifest(2).message_key, scope) is not None
    assert set(queries.totals(scope, 0.0)) == {"orders"}


def updated(one: Manifest, number: int) -> Manifest:
    return one.model_copy(update={"update": Update(number=number, at=datetime.fromtimestamp(NOW, UTC))})


def snapshot(catalog: Catalog) -> tuple[tuple[Any, ...], ...]:
    """Return how far the catalog has read, how many rows of words it has, and its totals."""
    with catalog.engine.connect() as connection:
        words = connection.scalar(text("SELECT count(*) FROM messages_words"))
        totals = connection.execute(text("SELECT mailbox, messages FROM totals ORDER BY mailbox")).all()
    return (catalog.state("position"), catalog.state("purged")), (words,), *map(tuple, totals)


class Fed:
    """A bench whose messages go into a catalog."""

    def __init__(self, b: Bench, catalog: Catalog) -> None:
        self.b, self.catalog = b, catalog
        self.feeder = Feeder(catalog, b.store, b.events, list(b.sinks), lambda: b.clock.now().timestamp())
        self.rebuild = Rebuild(catalog, b.store, Layout("mail"), self.feeder.now)

    def haul(self, *numbers: int) -> None:
        self.b.maildrops["a"].messages |= {b"u%d" % n: mail(f"subject-{n}") for n in numbers}
        self.b.everything()

    def feed(self) -> None:
        while self.feeder.step():
            pass
        if self.rebuild.wanted:
            self.rebuild.run(never)

    def subjects(self) -> set[str]:
        page = Queries(self.catalog.engine).search(Search(), EVERYTHING)
        return {one.row["subject"] for one in page.messages}

    def purge(self, number: int) -> None:
        purge = purge_of(self.b)
        report = purge.messages(purge.find([message_key("a", mail(f"subject-{number}"))]), never)
        assert report.error is None


@pytest.fixture
def fed(catalog: Catalog) -> Iterator[Fed]:
    with bench() as b:
        one = Fed(b, catalog)
        yield one
        one.feeder.close()


def test_new_catalog_is_built_from_the_store_and_then_follows_the_stream(fed: Fed) -> None:
    fed.haul(1, 2)
    fed.feed()
    assert fed.subjects() == {"subject-1", "subject-2"}
    fed.haul(3)
    assert fed.feeder.step() == 1
    assert not fed.rebuild.wanted
    assert fed.subjects() == {"subject-1", "subject-2", "subject-3"}


def test_step_that_is_repeated_changes_nothing(fed: Fed) -> None:
    fed.feed()
    before = fed.catalog.state("position")
    fed.haul(1)
    fed.feed()
    fed.catalog.write(Batch(state={"position": before}))
    fed.feed()
    assert len(Queries(fed.catalog.engine).search(Search(), EVERYTHING).messages) == 1


def test_events_that_were_lost_unread_are_read_from_the_store(fed: Fed) -> None:
    fed.haul(1)
    fed.feed()
    fed.haul(2)
    fed.b.events.clear()
    fed.haul(3)
    fed.feed()
    assert fed.subjects() == {"subject-1", "subject-2", "subject-3"}


def test_purged_message_is_purged_from_the_catalog(fed: Fed) -> None:
    fed.haul(1, 2)
    fed.feed()
    fed.purge(1)
    fed.feeder.step()
    assert not fed.rebuild.wanted
    assert fed.subjects() == {"subject-2"}
    assert found(fed.catalog, Search(words="subject-1")) == []


def test_message_that_is_purged_during_a_rebuild_does_not_come_back(
    fed: Fed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rebuild has read its manifest, and not yet written its row."""
    fed.haul(1, 2)
    fed.feed()
    read = fed.rebuild.catalog.write

    def purge_first(batch: Batch) -> None:
        monkeypatch.undo()
        fed.purge(1)
        fed.feeder.step()
        read(batch)

    fed.catalog.write(Batch(state={"rebuild": "running", "run": 9, "cursor": ""}))
    monkeypatch.setattr(fed.catalog, "write", purge_first)
    fed.rebuild.run(never)
    assert fed.subjects() == {"subject-2"}


def test_purges_that_the_ledger_forgot_unread_are_found_by_a_rebuild(fed: Fed) -> None:
    fed.haul(1, 2, 3)
    fed.haul(4)
    fed.b.events.purged_kept = 1
    fed.feed()
    fed.purge(1)
    fed.feed()
    fed.purge(2)
    fed.purge(3)
    fed.feed()
    assert fed.subjects() == {"subject-4"}


def test_row_that_the_feed_read_before_a_rebuild_survives_it(fed: Fed) -> None:
    """It asked for the number of the rebuild too early."""
    put(fed.catalog, manifest(1))
    fed.catalog.write(Batch(entries=[indexed(manifest(1), run=7)]))
    put(fed.catalog, manifest(1), seen_at=NOW + 1)
    assert fed.catalog.remove_older(7) == 0


def test_manifest_that_cannot_be_read_is_skipped_and_read_again_by_a_rebuild(
    fed: Fed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a proxy before the store answers every request with a page of its own."""
    fed.haul(1)
    fed.feed()
    fed.haul(2)
    fed.b.store.page = b"<html>log in first</html>"
    assert fed.feeder.step() == 1
    assert fed.subjects() == {"subject-1"}
    fed.b.store.page = None
    fed.feed()
    assert fed.subjects() == {"subject-1", "subject-2"}

    monkeypatch.setattr("ingest.catalog.rebuild._SUSPICIOUS", 2)
    manifests = [key for key in fed.b.store.objects if key.endswith("message.json")]
    kept = {key: fed.b.store.objects[key] for key in manifests}
    fed.b.store.objects |= {key: replace(one, content=b"damaged") for key, one in kept.items()}
    with pytest.raises(StoreCorruptError):
        fed.rebuild.run(never)
    fed.b.store.objects[manifests[0]] = kept[manifests[0]]
    assert (fed.rebuild.run(never).removed, fed.rebuild.wanted) == (0, False)
    assert fed.subjects() == {"subject-1", "subject-2"}, "a rebuild removes nothing on account of it"


def test_event_that_is_none_is_passed_over(fed: Fed) -> None:
    fed.feed()
    for body in (b"", b"[]", b'{"data": {"message_key": "../x", "manifest": "m"}}', b'{"data": 1}', b"[" * 100_000):
        fed.b.events.append(Event("1", "received", "a", body))
    fed.haul(1)
    fed.feed()
    assert (fed.subjects(), fed.rebuild.wanted) == ({"subject-1"}, False)


def test_step_that_fails_anywhere_leaves_no_trace_and_succeeds_later(fed: Fed) -> None:
    """Whether the process ends, the disk is full or the connection is lost: a transaction is written whole."""
    fed.haul(1, 2)
    fed.feed()
    fed.haul(3)
    fed.purge(1)
    before, left, statements = snapshot(fed.catalog), 0, 0

    def count_down(*_: object) -> None:
        nonlocal statements
        statements += 1
        if statements == left:
            raise CatalogError("the disk is full")

    event.listen(fed.catalog.engine, "before_cursor_execute", count_down)
    seen = set()
    while True:
        left, statements = left + 1, 0
        try:
            fed.feeder.step()
            break
        except CatalogError:
            seen.add(snapshot(fed.catalog))
    event.remove(fed.catalog.engine, "before_cursor_execute", count_down)
    fed.feed()
    assert left > 15, "statements failed one after another"
    assert before in seen
    assert len(seen) <= 3, "nothing, the event, the purge"
    assert fed.subjects() == {"subject-2", "subject-3"}
    assert snapshot(fed.catalog)[1:] == ((2,), ("a", 2))


def test_two_that_follow_the_stream_into_one_catalog_agree(fed: Fed) -> None:
    """As two consoles with one PostgreSQL, or a console that was started twice."""
    fed.feed()
    other = Feeder(fed.catalog, fed.b.store, fed.b.events, list(fed.b.sinks), fed.feeder.now)
    fed.haul(*range(1, 30))
    fed.purge(7)
    with closing(other), ThreadPoolExecutor(2) as both:
        steps = [both.submit(feeder.step) for feeder in (fed.feeder, other) for _ in range(3)]
        assert sum(step.result() for step in steps) >= 29
    assert len(fed.subjects()) == 28
    assert snapshot(fed.catalog)[1:] == ((28,), ("a", 28))


def test_rebuild_that_another_one_overtook_ends_and_leaves_the_other_alone(fed: Fed) -> None:
    fed.haul(*range(1, 4))
    fed.feed()
    overtaken: list[Rebuilt] = []

    def overtake() -> bool:
        if not overtaken:
            fed.catalog.write(Batch(state={"rebuild": "wanted"}))
            overtaken.append(fed.rebuild.run(lambda: True))
            fed.catalog.write(Batch(state={"cursor": "1 mail/z"}))  # as far as the first one was
        return False

    assert not fed.rebuild.run(overtake).complete
    assert fed.rebuild.wanted
    last = fed.rebuild.run(never)
    assert (last.messages, last.removed, last.complete) == (3, 0, True)


def test_catalog_on_a_full_disk_goes_on_when_there_is_room(tmp_path: Path) -> None:
    with closing(Catalog.open(f"sqlite:///{tmp_path}/catalog.sqlite")) as opened:

        def allow(pages: int) -> None:
            with opened.engine.connect() as connection:
                connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

        put(opened, manifest(1))
        allow(1)
        with pytest.raises(CatalogError, match="cannot be used"):
            put(opened, *(manifest(number, subject=f"{'word ' * 80}{number}") for number in range(2, 200)))
        assert found(opened, Search()) == [1]
        allow(1_000_000)
        put(opened, *map(manifest, range(2, 5)))
        assert found(opened, Search()) == [4, 3, 2, 1]


def test_catalog_that_is_damaged_while_it_is_used_says_so(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    with closing(Catalog.open(f"sqlite:///{path}")) as opened:
        put(opened, *map(manifest, range(200)))
        with opened.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(path.read_bytes())
    content[8_192:] = b"\xa5" * (len(content) - 8_192)
    path.write_bytes(content)
    with (
        pytest.raises(CatalogError, match=r"damaged.*delete it"),
        closing(Catalog.open(f"sqlite:///{path}")) as opened,
    ):
        found(opened, Search(words="invoice"))


def test_huge_fields_fit_into_each_database(catalog: Catalog) -> None:
    long = " ".join(f"word{number}" for number in range(200_000))
    changes = {"raw": None, "listed_size": 10**30, "attachments_total": 10**30, "labels": ["\0"] * 1_000}
    odd = {
        "received_at": datetime(9999, 12, 31, 23, 59, tzinfo=UTC),
        "update": Update(number=10**30, at=datetime.now(UTC)),
    }
    huge = manifest(1, subject=long, gross="1e400").model_copy(update=changes | odd)
    early = manifest(2, gross="-1e300").model_copy(update={"received_at": datetime(1, 1, 1, tzinfo=UTC)})
    put(catalog, huge, early)
    assert found(catalog, Search()) == [1, 2]
    (one,) = Queries(catalog.engine).search(Search(words="word17"), EVERYTHING).messages
    assert (one.invoices[0]["gross"], one.row["size"]) == (None, 2**63 - 1)


@pytest.mark.parametrize(
    ("change", "expected"),
    [("UPDATE catalog_version SET version_num = '99'", "newer version"), ("", "damaged")],
)
def test_catalog_that_cannot_be_used_says_that_it_may_be_deleted(tmp_path: Path, change: str, expected: str) -> None:
    path = tmp_path / "catalog.sqlite"
    if change:
        opened = Catalog.open(f"sqlite:///{path}")
        with opened.engine.begin() as connection:
            connection.execute(text(change))
        opened.close()
    else:
        path.write_bytes(b"something else" * 1000)
    with pytest.raises(CatalogError, match=f"{expected}.*delete it"):
        Catalog.open(f"sqlite:///{path}")


def test_catalog_of_the_first_form_is_built_again_and_keeps_the_times_of_deliveries(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/catalog.sqlite"
    with closing(Catalog.open(url)) as opened:
        opened.record_confirmed({"main": "5-0"}, NOW)
        opened.write(Batch(state={"position": "9-0"}))
        with opened.engine.begin() as connection:
            for change in (
                "DROP TABLE messages_vocabulary",
                "DROP TABLE messages",
                "CREATE TABLE messages (id INTEGER PRIMARY KEY, key TEXT)",
                "CREATE TABLE labels (message INTEGER REFERENCES messages (id), label TEXT)",
                "INSERT INTO messages VALUES (1, 'k')",
                "INSERT INTO labels VALUES (1, 'l')",
                "UPDATE catalog_version SET version_num = '1'",
            ):
                connection.execute(text(change))
    with closing(Catalog.open(url)) as opened:
        put(opened, manifest(1))
        assert found(opened, Search()) == [1]
        assert opened.state("position") == ""
        assert Queries(opened.engine).confirmed_at("4-0") == {"main": NOW}


def test_rebuild_removes_what_the_store_no_longer_has(fed: Fed) -> None:
    """As after a purge that the ledger forgot."""
    fed.haul(1, 2)
    fed.feed()
    fed.purge(1)
    fed.b.events.clear()
    done = fed.rebuild.run(never)
    assert (done.messages, done.removed, done.complete) == (2, 1, True)
    assert fed.subjects() == {"subject-2"}


def test_interrupted_rebuild_continues_where_it_was(fed: Fed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.catalog.rebuild._BATCH", 1)
    fed.haul(1, 2, 3)
    stops = iter([False, True])
    first = fed.rebuild.run(lambda: next(stops))
    assert (first.messages, first.complete) == (1, False)
    second = fed.rebuild.run(never)
    assert (second.messages, second.removed, second.complete) == (2, 0, True)
    assert fed.subjects() == {"subject-1", "subject-2", "subject-3"}


def test_events_that_are_lost_during_a_rebuild_make_it_begin_again(fed: Fed, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have passed the folder of a message whose event was lost."""
    monkeypatch.setattr("ingest.catalog.rebuild._BATCH", 1)
    fed.haul(1, 2)
    fed.rebuild.run(never, lambda _: fed.feeder.step())
    assert fed.rebuild.wanted
    assert fed.rebuild.run(never).messages == 2
    assert not fed.rebuild.wanted


def test_message_without_a_manifest_is_kept_by_a_rebuild(fed: Fed) -> None:
    failed = manifest(7).model_copy(update={"parse": Parse(status="failed"), "manifest": None})
    put(fed.catalog, failed)
    folder = Layout("mail").folder("a", None, failed.message_key)
    fed.b.store.put(
        f"{folder}/raw.eml", io.BytesIO(b"x"), size=1, sha256=sha256(b"x").hexdigest(), content_type="t/t"
    )
    assert fed.rebuild.run(never).removed == 0


def test_catalog_records_when_each_sink_confirmed_an_event(fed: Fed) -> None:
    fed.feed()
    fed.haul(1)
    fed.feed()
    row = Queries(fed.catalog.engine).message(message_key("a", mail("subject-1")), EVERYTHING)
    assert row is not None
    assert set(Queries(fed.catalog.engine).confirmed_at(row.row["position"])) == set(fed.b.sinks)


def test_catalog_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    config = tmp_path / "mailhaul.yaml"
    config.write_text(f"store: file://{tmp_path}/store\nledger: embedded\nconsole: {{}}\n")
    with open_catalog(config) as opened:
        put(opened, manifest(1))
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("mailhaul-catalog.sqlite*")}
    assert set(modes.values()) == {0o600}
    assert "mailhaul-catalog.sqlite-wal" in modes


def test_last_answer_to_an_event_is_kept_with_its_last_failure(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    rejected = AnswerRow("e", "erp", "rejected", "http_400", 1, NOW, "http_400")
    taken = AnswerRow("e", "erp", "delivered", "http_204", 2, NOW + 1)
    catalog.write(Batch(answers=[rejected, AnswerRow("e", "", "listed", "", 1, NOW - 9)]))
    catalog.write(Batch(answers=[taken]))
    catalog.write(Batch(answers=[rejected]))  # read again
    assert read_answers(catalog.engine, ["e", "other"]) == [
        AnswerRow("e", "", "listed", "", 1, NOW - 9),
        AnswerRow("e", "erp", "delivered", "http_204", 2, NOW + 1, "http_400"),
    ]
    monkeypatch.setattr(answers, "_KEPT", 3)
    catalog.write(Batch(answers=[AnswerRow(str(number), "erp", "delivered", "", 1, NOW) for number in range(9)]))
    assert [row.event for row in read_answers(catalog.engine, ["e", *map(str, range(9))])] == ["6", "7", "8"]
