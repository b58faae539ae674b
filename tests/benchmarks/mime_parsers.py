"""One parser over one row of the MIME benchmark: run as a process of its own, prints one line of JSON.

Each opens a file, reads it, and hashes the content of every leaf with SHA-256, decoded. What else it makes of the
mail is its own affair. compat32 splits every header into fields, and decodes those that say how a part is encoded.
Ours decodes all that it reports of a part, counts each byte, and hashes nested messages as well as what is in them.
mail-parser and fast-mail-parser decode the header; ours and the standard library do when they are asked, as
`with headers` asks ours and `compat32, headers` the standard library for the same fields. `compiled` and `compiled,
headers` are ours as machine code, if `make compiled` was run.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import re
import sys
import time
from email import message_from_binary_file, policy
from email.header import decode_header, make_header
from email.utils import getaddresses, parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingest.mime import parse
from ingest.mime.events import MessageEnded, PartBegun, PartData

if TYPE_CHECKING:
    from collections.abc import Callable
    from email.message import Message
    from email.policy import Policy

CHUNK = 256 * 1024
SECONDS = 0.3  # of CPU time to measure at least; a small mail is read many times
WARM_UP = b"Subject: x\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\nx\r\n--a--\r\n"


def ours(file: Path) -> None:
    """Feed our parser one chunk at a time, as the processor does."""
    _hash_parts(file)


def with_headers(file: Path) -> None:
    """The same, and read the header fields, as the processor does."""
    _ = _hash_parts(file).headers


def _hash_parts(file: Path) -> MessageEnded:
    hashes = {}
    with file.open("rb", buffering=0) as raw:
        for event in parse(iter(lambda: raw.read(CHUNK), b"")):
            if isinstance(event, PartBegun):
                hashes[event.path] = hashlib.sha256()
            elif isinstance(event, PartData):
                hashes[event.path].update(event.data)
            elif isinstance(event, MessageEnded):
                return event
    raise AssertionError("MessageEnded is always the last event")


def standard(chosen: Policy[Any]) -> Callable[[Path], None]:
    """Parse with the standard library under the given policy."""

    def read(file: Path) -> None:
        _standard(file, chosen)

    return read


def _standard(file: Path, chosen: Policy[Any]) -> Message:
    with file.open("rb") as raw:
        message: Message = message_from_binary_file(raw, policy=chosen)
    for part in message.walk():
        if not part.is_multipart():
            content = part.get_payload(decode=True)
            hashlib.sha256(content if isinstance(content, bytes) else b"")
    return message


def standard_with_headers(file: Path) -> None:
    """The header as a script decodes it that uses compat32: addresses, subject, date and ids."""
    message = _standard(file, policy.compat32)
    for name in ("from", "to", "cc", "reply-to"):
        for shown, _ in getaddresses([str(value) for value in message.get_all(name, [])]):
            str(make_header(decode_header(shown)))
    str(make_header(decode_header(message.get("subject", ""))))
    for name in ("message-id", "in-reply-to", "references"):
        str(message.get(name, "")).split()
    if message.get("date"):
        parsedate_to_datetime(str(message["date"]))


def mail_parser(file: Path) -> None:
    """Parse with a library that does not decode base64."""
    message = importlib.import_module("mailparser").parse_from_bytes(file.read_bytes())
    for text in (*message.text_plain, *message.text_html):
        hashlib.sha256(text.encode("utf-8", "replace"))
    for attachment in message.attachments:
        payload = attachment["payload"]
        hashlib.sha256(base64.b64decode(payload) if attachment["binary"] else payload.encode("utf-8", "replace"))


def fast_mail_parser(file: Path) -> None:
    """Parse with a binding of a Rust parser."""
    message = importlib.import_module("fast_mail_parser").parse_email(file.read_bytes())
    for text in (*message.text_plain, *message.text_html):
        hashlib.sha256(text.encode("utf-8", "replace"))
    for attachment in message.attachments:
        hashlib.sha256(attachment.content)


PARSERS: dict[str, tuple[str | None, Callable[[Path], None]]] = {
    "Mailhaul": (None, ours),
    "with headers": (None, with_headers),
    "compiled": (None, ours),
    "compiled, headers": (None, with_headers),
    "stdlib compat32": (None, standard(policy.compat32)),
    "compat32, headers": (None, standard_with_headers),
    "stdlib default": (None, standard(policy.default)),
    "mail-parser": ("mailparser", mail_parser),
    "fast-mail-parser": ("fast_mail_parser", fast_mail_parser),
}


def measure(read: Callable[[Path], None], files: list[Path]) -> dict[str, float | int]:
    """Return CPU seconds for all files, peak memory above the start in MiB, and how many mails raised an error."""
    _forget_peak()
    base = _status("VmRSS")
    raised = sum(not _reads(read, file) for file in files)
    above = _status("VmHWM") - base
    rounds, started = 0, time.process_time()
    while rounds == 0 or time.process_time() - started < SECONDS:
        for file in files:
            _reads(read, file)
        rounds += 1
    return {"cpu": (time.process_time() - started) / rounds, "mib": above / 1024, "raised": raised}


def _reads(read: Callable[[Path], None], file: Path) -> bool:
    try:
        read(file)
    except Exception:  # noqa: BLE001 - foreign parsers over hostile mail: that they raise is what is counted
        return False
    return True


def _forget_peak() -> None:
    """Reset the peak of resident memory (man 5 proc_pid_clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")


def _status(name: str) -> int:
    """Return a field of /proc/self/status in KiB."""
    found = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text("ascii"))
    assert found is not None
    return int(found[1])


def main() -> None:
    """Arguments: the parser's name, a small mail to warm up with, the row's mails."""
    name, warm_up, *files = sys.argv[1:]
    read = PARSERS[name][1]
    _reads(read, Path(warm_up))
    print(json.dumps(measure(read, [Path(file) for file in files])))


if __name__ == "__main__":
    main()
