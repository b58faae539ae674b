"""Messages and events on a terminal, over the in-memory twins, without a catalog."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.console import Console

from ingest.admin.messages import StoredMessages
from ingest.cli.common import FAILED, UNUSABLE, json_line
from ingest.cli.message_views import rows_table
from tests.support.bench import Bench, mail, message_key, never

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest
    from typer.testing import Result

    Run = Callable[..., Result]

PDF = mail("with a\u202e file", attachment=b"%PDF-1.4 made up")
FIRST, SECOND = message_key("a", mail("1")), message_key("b", PDF)


def fill(b: Bench) -> None:
    """Process a message of `a`, ten seconds later one of `b` that has an attachment."""
    b.everything()
    b.maildrops["b"].messages[b"u1"] = PDF
    b.everything()


def data(done: Result) -> Any:
    return json.loads(done.stdout)


def steps(run: Run, key: str) -> list[tuple[str, str, str | None]]:
    return [(one["what"], one["state"], one["sink"]) for one in data(run("messages", "trace", key, "--json"))]


def test_newest_messages_are_listed_first(b: Bench, run: Run) -> None:
    fill(b)
    rows = data(run("messages", "list", "--json"))
    assert [(row["message_key"], row["mailbox"], row["state"]) for row in rows] == [
        (SECOND, "b", "complete"),
        (FIRST, "a", "complete"),
    ]
    assert rows[0]["from"] == ["billing@example.org"]
    assert [row["message_key"] for row in data(run("messages", "list", "--json", "--limit", "1"))] == [SECOND]
    assert [row["message_key"] for row in data(run("messages", "list", "--json", "--mailbox", "a"))] == [FIRST]
    between = rows[0]["written"]
    assert [row["message_key"] for row in data(run("messages", "list", "--json", "--since", between))] == [SECOND]
    assert [row["message_key"] for row in data(run("messages", "list", "--json", "--until", between))] == [FIRST]
    shown = run("messages", "list").stdout
    assert "billing@example.org" in shown
    assert "\u202e" not in shown
    assert "no such message" in run("messages", "list", "--until", "2020-01-01").stderr
    assert "there is no mailbox c" in run("messages", "list", "--mailbox", "c", code=UNUSABLE).stderr


def test_listed_keys_and_times_are_whole_in_a_narrow_terminal(b: Bench) -> None:
    fill(b)
    parts = b.runtime.store, b.runtime.layout, b.runtime.ledger, b.runtime.mailboxes(), b.runtime.uploads
    rows = StoredMessages(*parts).latest([], 2)
    console = Console(width=62, file=io.StringIO(), highlight=False)
    console.print(rows_table([replace(row, state="partial") for row in rows]))
    header, *lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]  # a StringIO
    assert header.startswith("message key   mailbox  done (UTC)        state    from")
    assert [line.split()[:5:4] for line in lines] == [[key[:12], "partial"] for key in (SECOND, FIRST)]
    assert max(map(len, (header, *lines))) <= 62


def test_message_is_shown_with_its_parts_and_the_reasons_of_its_documents(b: Bench, run: Run) -> None:
    fill(b)
    shown = run("messages", "show", SECOND[:8]).stdout
    assert "\u202e" not in shown
    assert all(part in shown for part in ("billing@example.org", "i.pdf", "document  i.pdf", SECOND))
    manifest = data(run("messages", "show", SECOND, "--json"))
    assert f"{manifest['documents'][0]['main']}  {manifest['documents'][0]['reasons'][0]['code']}" in shown
    (stored,) = (one for key, one in b.store.objects.items() if key.endswith(f"{SECOND}/message.json"))
    assert manifest == json.loads(stored.content)


def test_unknown_and_ambiguous_keys_are_refused_with_advice(b: Bench, run: Run) -> None:
    b.maildrops["a"].messages = {b"%d" % number: mail(str(number)) for number in range(17)}
    b.everything()
    keys = [message_key("a", mail(str(number))) for number in range(17)]
    shared = next(key[0] for key in keys if sum(other[0] == key[0] for other in keys) > 1)
    assert "write more digits of its key" in run("messages", "show", shared, code=FAILED).stderr
    assert "mailhaul messages list" in run("messages", "trace", "f" * 32, code=FAILED).stderr
    assert "is not a message key" in run("messages", "open", "zz", "-o", "x", code=FAILED).stderr


def test_files_are_written_and_never_over_others_unless_asked_for(b: Bench, run: Run, tmp_path: Path) -> None:
    fill(b)
    run("messages", "open", FIRST, "-o", str(tmp_path))
    assert (tmp_path / f"{FIRST}.eml").read_bytes() == mail("1")
    target = tmp_path / "file"
    target.write_text("precious")
    (attachment,) = data(run("messages", "show", SECOND, "--json"))["attachments"]
    wanted = ("messages", "open", SECOND, "--part", attachment["part"], "-o")
    assert "--force" in run(*wanted, str(target), code=FAILED).stderr
    assert target.read_text() == "precious"
    run(*wanted, str(target), "--force")
    assert target.read_bytes() == b"%PDF-1.4 made up"
    run(*wanted, str(tmp_path))
    assert (tmp_path / f"{attachment['part']}-i.pdf").read_bytes() == b"%PDF-1.4 made up"
    assert len(list(tmp_path.iterdir())) == 3, "and nothing else is left"
    assert run(*wanted, "-").stdout_bytes == b"%PDF-1.4 made up"
    assert (
        f"it has {attachment['part']}"
        in run("messages", "open", SECOND, "--part", "9", "-o", "x", code=FAILED).stderr
    )
    assert "No such file" in run(*wanted, str(tmp_path / "none" / "file"), code=FAILED).stderr


def test_trace_leads_from_the_mail_server_to_each_sink(b: Bench, run: Run) -> None:
    b.poll_all()
    assert steps(run, FIRST) == [("stored", "done", None), ("processed", "waiting", None)]
    b.process_stage.run(never)
    way = [(what, "done", None) for what in ("received", "stored", "processed", "published")]
    assert steps(run, FIRST) == [*way, ("delivered", "waiting", "main")]
    b.relay_stage.run(never)
    assert steps(run, FIRST) == [*way, ("delivered", "done", "main")]
    assert "delivered to main" in run("messages", "trace", FIRST).stdout


def test_trace_names_the_sink_that_rejected_the_event(b: Bench, run: Run) -> None:
    b.refuse_everything()
    b.everything()
    assert steps(run, FIRST)[-1] == ("delivered", "retrying", "main")
    assert "rejected the event" in run("messages", "trace", FIRST).stdout


def test_trace_of_an_event_that_left_the_stream_follows_the_watermark(b: Bench, run: Run) -> None:
    b.everything()
    b.events.erase(mailbox="a")
    assert steps(run, FIRST)[-1] == ("published", "unknown", None)
    b.settle()
    assert steps(run, FIRST)[-2:] == [("published", "done", None), ("delivered", "done", None)]


def test_failed_message_is_traced_and_leads_to_its_remedy(b: Bench, run: Run) -> None:
    b.poll_all()
    (raw,) = (key for key in b.store.objects if key.endswith("raw.eml"))
    b.store.objects[raw] = replace(b.store.objects[raw], content=b"damaged")
    b.process_until_failed()
    assert steps(run, FIRST)[:2] == [("stored", "done", None), ("failed", "failed", None)]
    assert "mailhaul failed retry" in run("messages", "trace", FIRST).stdout


def test_events_are_printed_as_lines_of_json(b: Bench, run: Run) -> None:
    fill(b)
    printed = run("events", "tail").stdout
    assert [json.loads(line)["subject"] for line in printed.splitlines()] == [FIRST, SECOND]
    assert "\u202e" not in printed
    assert data(run("events", "tail", "--mailbox", "b"))["data"]["headers"]["subject"] == "with a\u202e file"
    assert run("events", "tail", "--type", "failed").stdout == ""
    assert len(run("events", "tail", "--type", "failed", "--type", "received").stdout.splitlines()) == 2
    assert data(run("events", "tail", "--where", "attachments.size() > 0"))["subject"] == SECOND
    assert "--where: line 1" in run("events", "tail", "--where", "((", code=UNUSABLE).stderr
    assert len(b.sinks["main"].delivered) == 2, "and the sinks miss nothing"


def test_only_events_since_a_time_are_printed(b: Bench, run: Run) -> None:
    b.everything()
    b.clock.time += 3_600
    b.maildrops["b"].messages[b"u1"] = PDF
    b.everything()
    since = b.clock.now().isoformat()
    assert data(run("events", "tail", "--since", since))["subject"] == SECOND


def test_following_goes_on_with_new_events_until_it_is_stopped(
    b: Bench, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[bool] = []

    def wait(_position: str, _seconds: float) -> bool:
        if waited:
            raise BrokenPipeError  # as a write to a closed pipe does
        waited.append(True)
        b.maildrops["b"].messages[b"u1"] = PDF
        b.everything()
        return True

    b.everything()
    monkeypatch.setattr(b.events, "wait", wait)
    lines = run("events", "tail", "--follow").stdout.splitlines()
    assert [json.loads(line)["subject"] for line in lines] == [FIRST, SECOND]


def test_json_lines_keep_their_value_without_control_characters() -> None:
    text = json.dumps({"a": "\x9b\u202e\x7f \U000e0001 é"}, ensure_ascii=False)
    line = json_line(text)
    assert json.loads(line) == json.loads(text)
    assert line.isprintable()
