"""Consumes Mailhaul's event stream: python stream.py redis://localhost:6379/0 inbox.db (needs the package redis)."""

import json
import sys

import redis
from inbox import Inbox

STREAM = "{mailhaul}:events"
GROUP, NAME = "erp", "erp-1"  # a group gets each event; more consumers of one group, each with a name, share them


def consume(stream: redis.Redis, inbox: Inbox) -> None:
    """Take events for as long as the process lives. What it dies over comes again."""
    try:
        stream.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    except redis.ResponseError as error:
        if not str(error).startswith("BUSYGROUP"):  # it is there already
            raise
    begin = "0"  # first what was handed to us before and not acknowledged, then what is new
    while True:
        answer = stream.xreadgroup(GROUP, NAME, {STREAM: begin}, count=10, block=5000)
        entries = answer[0][1] if answer else []
        for entry, fields in entries:
            if fields:  # empty where it was taken out of the stream meanwhile
                inbox.take(json.loads(fields[b"body"]))
            stream.xack(STREAM, GROUP, entry)
        if not entries:
            begin = ">"


if __name__ == "__main__":
    consume(redis.Redis.from_url(sys.argv[1]), Inbox(sys.argv[2]))
