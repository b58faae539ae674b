"""`check` tries every part, changes nothing, and reports what is wrong and what to do."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest
import structlog

from ingest.adapters.signing import load_signer
from ingest.admin.check import PARTS_OF_ROLES, Check, Finding
from ingest.admin.usable import require_usable, require_usable_broker
from ingest.config import Secrets
from ingest.domain.mailbox import Credentials, Deletion, Mailbox, Server
from ingest.errors import (
    ConfigError,
    LedgerUnavailableError,
    MaildropAuthError,
    ProviderUnavailableError,
    StartError,
    StoreRefusedError,
)
from ingest.ports.ledger import LedgerProblem, Severity
from ingest.ports.maildrop import Terms
from ingest.ports.sink import Outcome, Verdict
from ingest.testing.eventlog import MemoryEventLog
from ingest.testing.ledger import MemoryLedger
from ingest.testing.scanner import MemoryScanner
from tests.support.audited import SECRET, private
from tests.support.bench import Bench, bench, mail, mailbox, never
from tests.support.clock import Clock
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from ingest.ports.scanner import Scanner
    from ingest.ports.signing import Signer


def check(
    b: Bench,
    scanner: Scanner | None = None,
    seen: Collection[str] | None = None,
    broker: Callable[[], str] | None = None,
    *,
    passwords: Sequence[Callable[[], object]] = (),
    signer: Callable[[], Signer | None] | None = None,
    login: Callable[[], str] | None = None,
    credentials: Callable[[str], Credentials] | None = None,
) -> dict[str, Finding]:
    """Return the findings by part, those of mailboxes by id."""
    tried = Check(
        ledger=b.ledger,
        store=b.store,
        layout=b.layout,
        sinks=list(b.sinks.values()),
        scanner=scanner,
        connect=b.poller.connect,
        credentials=credentials or b.poller.credentials,
        events=b.events,
        broker=broker,
        passwords=passwords,
        signer=signer,
        login=login,
    )
    report = tried.run(b.mailboxes.values(), seen)
    assert report.ok == all(finding.ok for finding in report.findings)
    return {finding.name if finding.part == "mailbox" else finding.part: finding for finding in report.findings}


def test_a_check_fetches_delivers_and_keeps_nothing() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages[b"u1"] = mail("1")
        findings = check(b)
        assert all(finding.ok for finding in findings.values())
        assert findings["a"].detail.startswith(f"logged in; 1 message, {len(mail('1'))} bytes")
        assert (b.store.objects, drop.retrieved, drop.quits, b.sinks["main"].delivered) == ({}, [], 0, [])


def test_each_part_that_fails_is_named_with_its_reason_and_the_others_are_tried() -> None:
    with bench(mailbox("a"), mailbox("b")) as b:
        b.maildrops["a"].error = MaildropAuthError("The server refused the user name or password.")

        def refuse(operation: str, key: str) -> None:
            raise StoreRefusedError("The bucket does not exist.")

        b.store.fault = refuse
        b.sinks["main"].unavailable = True
        findings = check(b)
        assert {name for name, finding in findings.items() if not finding.ok} == {"store", "sink", "a"}
        assert findings["a"].detail == "The server refused the user name or password."
        assert findings["store"].detail == "The bucket does not exist."
        assert findings["b"].ok


def test_secret_of_a_mailbox_that_is_missing_is_named_by_its_option_alone() -> None:
    def missing(mailbox: str) -> Credentials:
        raise ConfigError([f"mailbox {mailbox}: auth.password: env:P: there is no secret"])

    with bench() as b:
        assert check(b, credentials=missing)["a"].detail == "auth.password: env:P: there is no secret"


def test_store_that_may_not_be_listed_is_reported() -> None:
    """Rebuilding, purging and reconciling need a listing, and would find out late."""

    def refuse(operation: str, _: str) -> None:
        if operation == "list":
            raise StoreRefusedError("permission denied")

    with bench() as b:
        b.store.fault = refuse
        assert check(b)["store"].detail == "permission denied"


def test_store_that_returns_other_bytes_is_reported() -> None:
    with bench() as b:
        b.store.page = b"<html>maintenance</html>"
        assert "the probe object was changed" in check(b)["store"].detail


def test_ledger_that_does_not_answer_is_reported_and_the_sinks_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with bench() as b:

        def unavailable(*_: object) -> None:
            raise LedgerUnavailableError("nobody answers")

        monkeypatch.setattr(b.ledger, "problems", unavailable)
        monkeypatch.setattr(b.events, "sink_status", unavailable)
        findings = check(b)
        assert (findings["ledger"].ok, findings["ledger"].detail) == (False, "nobody answers")
        assert (findings["sink"].ok, findings["sink"].detail) == (True, "reachable")


@pytest.mark.parametrize(
    ("role", "tried"),
    [
        ("poller", {"ledger", "store", "a"}),
        ("processor", {"ledger", "store", "scan", "password"}),
        ("relay", {"ledger", "store", "sink"}),
        ("scheduler", {"ledger", "audit"}),
        ("exporter", {"ledger"}),
        ("console", {"ledger", "store", "login"}),
    ],
)
def test_role_tries_what_it_has_access_to_and_nothing_else(role: str, tried: set[str]) -> None:
    with bench() as b:
        b.sinks["main"].unavailable = True
        b.maildrops["a"].error = MaildropAuthError("The secret is not mounted here.")
        signer = partial(load_signer, private(SECRET), "key")
        parts = PARTS_OF_ROLES[role]
        findings = check(
            b, MemoryScanner(), parts, passwords=[lambda: "secret"], signer=signer, login=lambda: "answers"
        )
        assert {name for name, finding in findings.items() if finding.visible} == tried
        hidden = [finding for finding in findings.values() if not finding.visible]
        assert all(finding.ok for finding in hidden)
        if role == "scheduler":
            assert findings["sink"].detail == "not visible from here; check it in a relay"
            assert findings["store"].detail.endswith("in a poller or processor or relay or console")


def test_identity_provider_that_cannot_be_used_is_reported() -> None:
    def fail() -> str:
        raise ProviderUnavailableError("https://login.example.org has an unknown host name: check `issuer`")

    with bench() as b:
        assert check(b, login=fail)["login"] == Finding(
            "login", "", ok=False, detail="https://login.example.org has an unknown host name: check `issuer`"
        )
        assert "login" not in check(b), "none is configured"


def test_passwords_that_cannot_be_read_are_named_without_their_text(tmp_path: Path) -> None:
    (tmp_path / "good").write_text("secret")
    (tmp_path / "empty").write_text("\n")
    secrets = Secrets(tmp_path, {})
    with bench() as b:

        def of(*refs: str) -> Finding:
            return check(b, passwords=[partial(secrets.read, ref) for ref in refs])["password"]

        assert of("file:good", "file:good") == Finding("password", "", ok=True, detail="2 can be read")
        missing = f"there is no file {tmp_path / 'missing'}; write the secret into it"
        found = of("file:good", "file:empty", "file:missing", "env:NONE")
        assert not found.ok
        assert found.detail.splitlines() == [
            "parse.passwords[1].password: file:empty: there is no secret; write the secret into this file",
            f"parse.passwords[2].password: file:missing: {missing}",
            "parse.passwords[3].password: env:NONE: there is no secret; set the environment variable NONE",
        ]
        assert "password" not in check(b), "none is configured"


def test_key_of_statements_is_read_and_named_by_its_id_alone() -> None:
    with bench() as b:
        found = check(b, signer=partial(load_signer, private(SECRET), "file:audit.pem"))["audit"]
        assert found.ok
        assert found.detail == f"statements are signed with the key {load_signer(private(SECRET), '').key_id}"
        found = check(b, signer=partial(load_signer, "nonsense", "file:audit.pem"))["audit"]
        assert not found.ok
        assert found.detail.startswith("file:audit.pem: is no Ed25519 private key")
        assert "nonsense" not in found.detail
        assert "audit" not in check(b), "no key is configured"


def test_messages_that_are_skipped_are_reported() -> None:
    with bench() as b:
        b.maildrops["a"].left_out = 3
        assert "3 more are skipped" in check(b)["a"].detail


def test_a_virus_scanner_is_tried_where_there_is_one() -> None:
    with bench() as b:
        assert "scan" not in check(b)
        assert check(b, MemoryScanner())["scan"].ok
        finding = check(b, MemoryScanner(unavailable=True))["scan"]
        assert not finding.ok
        assert finding.detail == "the virus scanner is unavailable"


def test_a_disabled_mailbox_is_not_tried() -> None:
    with bench(mailbox("a", enabled=False)) as b:
        assert "disabled" in check(b)["a"].detail
        assert b.maildrops["a"].sessions == 0


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        (Terms(login_delay=600), "600 s between logins"),
        (Terms(expires_after=0.0), "deletes mail by itself after 0 days"),
    ],
)
def test_server_terms_that_conflict_with_the_configuration_are_reported(terms: Terms, words: str) -> None:
    with bench() as b:
        b.maildrops["a"].terms = terms
        assert words in check(b)["a"].detail


def test_server_terms_that_fit_are_not_reported() -> None:
    with bench() as b:
        b.maildrops["a"].terms = Terms(login_delay=10, expires_after=90 * 86_400.0)
        detail = check(b)["a"].detail
        assert "logins" not in detail
        assert "deletes" not in detail


@pytest.mark.parametrize(("unique_ids", "reported"), [([b"1", b"2"], True), ([b"x1", b"x2"], False)])
def test_unique_ids_that_are_message_numbers_are_reported(unique_ids: list[bytes], reported: bool) -> None:  # noqa: FBT001
    with bench() as b:
        b.maildrops["a"].messages = dict.fromkeys(unique_ids, mail("x"))
        assert ("do not identify messages" in check(b)["a"].detail) is reported


def test_a_server_without_unique_ids_needs_the_policy_to_delete() -> None:
    with bench(mailbox("a"), mailbox("b", deletion=Deletion(0.0))) as b:
        for drop in b.maildrops.values():
            drop.unique_ids = False
        findings = check(b)
        assert not findings["a"].ok
        assert "policy: delete" in findings["a"].detail
        assert findings["b"].ok
        assert "fetched at every poll" in findings["b"].detail


@pytest.mark.parametrize(("make", "reported"), [(mailbox, True), (lambda id_: Mailbox(id_, Server("h", 995)), False)])
def test_connection_without_tls_is_reported(make: Callable[[str], Mailbox], reported: bool) -> None:  # noqa: FBT001
    with bench(make("a")) as b:
        assert ("unencrypted" in check(b)["a"].detail) == reported


@pytest.mark.parametrize(
    ("server", "warning"),
    [
        (Server("h", 995, tls_minimum="1.0"), "warning: `tls_minimum` allows weak TLS"),
        (Server("h", 995, ciphers="DEFAULT"), "warning: `ciphers` allows weak TLS"),
        (Server("h", 995, tls_minimum="1.3"), ""),
        (Server("h", 995), ""),
    ],
)
def test_options_that_weaken_tls_are_reported(server: Server, warning: str) -> None:
    with bench(Mailbox("a", server)) as b:
        finding = check(b)["a"]
        assert finding.ok
        assert warning in finding.detail
        assert ("weak TLS" in finding.detail) == bool(warning)


def test_parts_are_tried_side_by_side_and_reported_in_order() -> None:
    """One that does not answer holds up no other: each of these waits for all."""
    met = threading.Barrier(3, timeout=PATIENCE)

    def meet(operation: str, _key: str) -> None:
        if operation == "put":
            met.wait()

    with bench(mailbox("a"), mailbox("b")) as b:
        b.store.fault = meet
        connect = b.poller.connect

        def connected(*arguments: object) -> object:
            met.wait()
            return connect(*arguments)  # type: ignore[arg-type]  # passed on as they came

        object.__setattr__(b.poller, "connect", connected)
        assert list(check(b)) == ["ledger", "store", "sink", "a", "b"]


def test_problems_of_the_ledger_are_reported_and_warnings_are_no_failure() -> None:
    with bench() as b:
        assert check(b)["ledger"] == Finding("ledger", "", ok=True, detail="a probe key was written and deleted")
        b.ledger.found_problems = [LedgerProblem(Severity.WARNING, "no_log", "no log")]
        finding = check(b)["ledger"]
        assert (finding.ok, finding.detail) == (True, "a probe key was written and deleted; warning: no log")
        b.ledger.found_problems.append(LedgerProblem(Severity.FAILURE, "memory", "it is full"))
        finding = check(b)["ledger"]
        assert (finding.ok, finding.detail) == (False, "warning: no log; it is full")


def test_broker_that_celery_cannot_use_is_reported_and_keeps_processes_from_starting() -> None:
    def clustered() -> str:
        raise StartError("it is a cluster")

    with bench() as b:
        assert "broker" not in check(b), "the ledger, which is asked anyway"
        assert check(b, broker=lambda: "answers")["broker"] == Finding("broker", "", ok=True, detail="answers")
        assert check(b, broker=clustered)["broker"] == Finding("broker", "", ok=False, detail="it is a cluster")
    with pytest.raises(StartError, match="it is a cluster"):
        require_usable_broker(clustered)


def test_process_starts_while_the_broker_does_not_answer() -> None:
    def silent() -> str:
        raise LedgerUnavailableError

    require_usable_broker(silent)


def test_process_starts_unless_the_ledger_must_not_be_used() -> None:
    with bench() as b:
        b.ledger.found_problems = [LedgerProblem(Severity.FAILURE, "memory", "it is full")]
        with structlog.testing.capture_logs() as lines:
            require_usable(b.ledger)
        assert [(line["event"], line["problem"]) for line in lines] == [("ledger.problem", "memory")]
        b.ledger.found_problems.append(LedgerProblem(Severity.FATAL, "eviction", "it evicts keys"))
        with pytest.raises(StartError, match=r"^it evicts keys$"):
            require_usable(b.ledger)


def test_process_starts_while_the_ledger_does_not_answer() -> None:
    class Silent(MemoryLedger):
        def problems(self) -> list[LedgerProblem]:
            raise LedgerUnavailableError

    clock = Clock()
    with structlog.testing.capture_logs() as lines:
        require_usable(Silent(clock, MemoryEventLog(clock)))
    assert lines == []


def test_sink_that_can_be_reached_and_takes_no_events_is_reported_with_its_answer() -> None:
    with bench() as b:
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.UNAVAILABLE, "http_503")
        b.maildrops["a"].messages[b"u1"] = mail("1")
        b.poll_all()
        b.process_stage.run(never)
        assert check(b)["sink"].detail == "reachable"
        b.relay_stage.run(never)
        assert "warning: it answered 503 when events were delivered, since 20" in check(b)["sink"].detail
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.DELIVERED)
        b.clock.time += 60
        b.relay_stage.run(never)
        assert check(b)["sink"].detail == "reachable; it took the last event"
