"""The floor: the least code that does the work of `mailhaul drain` for one mailbox, as a process of its own.

It receives all messages pipelined, hashes each once, parses it once with our parser, writes raw, parts and a manifest
in this order, calls the ledger once for each batch, and appends the events to a file. It retries nothing, checks
nothing, and knows one server, one store and one sink.

Its requests to a bucket are as many as those of `drain`: one PUT for raw, each part and the manifest, with a SHA-256
that the server compares. It leaves out what the contract demands besides: it decodes no header and no
charset, so that its event names neither sender nor subject, claims no message, looks for no duplicates, and keeps
neither seen set nor checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import ssl
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import obstore
import redis
from obstore.store import S3Store

from ingest.mime import parse
from ingest.mime.events import PartBegun, PartData

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "localhost"
BATCH = 64
THREADS = 8
_RECEIVE = 256 * 1024


class Put(Protocol):
    """Writes one object durably."""

    def __call__(self, key: str, body: bytes, sha256: str, content_type: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Work:
    """What to do, as JSON in the child's only argument.

    Attributes:
        store: a folder, or `S3Store`'s configuration.
    """

    port: int
    ca: str
    user: str
    ledger: str
    events: str
    store: str | dict[str, str]
    password: str = "secret"


def main() -> None:
    """Fetch, process and deliver every message."""
    work = Work(**json.loads(sys.argv[1]))
    put = _folder(Path(work.store)) if isinstance(work.store, str) else _bucket(work.store)
    ledger = redis.Redis.from_url(work.ledger)
    with ThreadPoolExecutor(THREADS) as pool, Path(work.events).open("ab") as events:
        stored: list[Future[tuple[str, bytes]]] = []
        for raw in _received(work):
            stored.append(pool.submit(_store, put, raw))
            if len(stored) == BATCH:
                _commit(ledger, events.fileno(), [future.result() for future in stored])
                stored.clear()
        _commit(ledger, events.fileno(), [future.result() for future in stored])
    print(ledger.xlen("events"))


def _received(work: Work) -> Iterator[bytes]:
    context = ssl.create_default_context(cafile=work.ca)
    with (
        socket.create_connection((HOST, work.port)) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as sock,
    ):
        sock.sendall(b"USER %b\r\nPASS %b\r\nSTAT\r\n" % (work.user.encode(), work.password.encode()))
        answer = b""
        while answer.count(b"\n") < 4:  # the greeting, USER, PASS, STAT
            answer += sock.recv(4096)
        count = int(answer.split(b"\r\n")[3].split()[1])
        sock.sendall(b"".join(b"RETR %d\r\n" % number for number in range(1, count + 1)))
        buffer, searched = bytearray(), 0
        for _ in range(count):
            while (end := buffer.find(b"\r\n.\r\n", searched)) < 0:
                searched = max(0, len(buffer) - 4)
                buffer += sock.recv(_RECEIVE)
            yield bytes(buffer[buffer.find(b"\n") + 1 : end + 2]).replace(b"\r\n..", b"\r\n.")
            del buffer[: end + 5]
            searched = 0
        sock.sendall(b"QUIT\r\n")
        sock.recv(4096)


def _store(put: Put, raw: bytes) -> tuple[str, bytes]:
    """Write everything of one message; returns its key and its event."""
    sha256 = hashlib.sha256(raw).hexdigest()
    key = sha256[:32]
    put(f"haul/{key}/raw.eml", raw, sha256, "message/rfc822")
    parts: list[dict[str, Any]] = []
    pieces: dict[str, list[bytes]] = {}
    for event in parse(iter((raw,))):
        if isinstance(event, PartBegun):
            parts.append({"part": event.path, "type": event.declared_type, "filename": event.filename})
            pieces[event.path] = []
        elif isinstance(event, PartData):
            pieces[event.path].append(event.data)
    for part in parts:
        content = b"".join(pieces[part["part"]])
        part["sha256"], part["size"] = hashlib.sha256(content).hexdigest(), len(content)
        put(f"haul/{key}/{part['part']}", content, part["sha256"], part["type"])
    manifest = json.dumps({"key": key, "sha256": sha256, "size": len(raw), "parts": parts}).encode()
    put(f"haul/{key}/message.json", manifest, hashlib.sha256(manifest).hexdigest(), "application/json")
    return key, manifest


def _commit(ledger: redis.Redis, events: int, stored: list[tuple[str, bytes]]) -> None:
    if not stored:
        return
    with ledger.pipeline(transaction=True) as batch:
        batch.sadd("seen", *(key for key, _ in stored))
        for _, event in stored:
            batch.xadd("events", {"event": event})
        batch.execute()
    os.write(events, b"".join(event + b"\n" for _, event in stored))
    os.fsync(events)


def _folder(root: Path) -> Put:
    """Return what writes a file as durably as the folder store: the file and its name are synced."""

    def put(key: str, body: bytes, sha256: str, content_type: str) -> None:
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        waiting = path.with_name(f".{path.name}")
        file = os.open(waiting, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.write(file, body)
        os.fsync(file)
        os.close(file)
        waiting.rename(path)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    return put


def _bucket(config: dict[str, str]) -> Put:
    store = S3Store(config=config, client_options={"allow_http": True})  # type: ignore[arg-type]

    def put(key: str, body: bytes, sha256: str, content_type: str) -> None:
        attributes = {"Content-Type": content_type, "sha256": sha256}
        obstore.put(store, key, body, attributes=attributes, mode="create", use_multipart=False)

    return put


if __name__ == "__main__":
    main()
