"""A script as people write it for the work of `mailhaul drain`: poplib, email and boto3, one mail after the other.

It retries nothing, knows nothing of what it has fetched before, and deletes each mail when it has written its event.
"""

from __future__ import annotations

import email
import email.policy
import hashlib
import json
import poplib
import ssl
import sys
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config


def main() -> None:
    """Fetch, parse, store, report and delete; the only argument is JSON with the fields of `Place`."""
    place = json.loads(sys.argv[1])
    s3 = boto3.client("s3", endpoint_url=place["endpoint"], region_name=place["region"], config=_PATH_STYLE)
    context = ssl.create_default_context(cafile=place["ca"])
    server = poplib.POP3_SSL("localhost", place["port"], context=context)
    server.user(place["user"])
    server.pass_(place["password"])
    count, _ = server.stat()
    with Path(place["events"]).open("a") as events:
        for number in range(1, count + 1):
            _, lines, _ = server.retr(number)
            raw = b"\r\n".join(lines) + b"\r\n"
            event = _store(s3, place["bucket"], raw)
            events.write(json.dumps(event) + "\n")
            events.flush()
            server.dele(number)
    server.quit()


_PATH_STYLE = Config(s3={"addressing_style": "path"})


def _store(s3: Any, bucket: str, raw: bytes) -> dict[str, Any]:
    key = hashlib.sha256(raw).hexdigest()
    s3.put_object(Bucket=bucket, Key=f"haul/{key}/raw.eml", Body=raw, ContentType="message/rfc822")
    message = email.message_from_bytes(raw, policy=email.policy.default)
    parts = [part for part in message.walk() if not part.is_multipart()]
    for number, part in enumerate(parts):
        content = part.get_payload(decode=True)
        where = {"Bucket": bucket, "Key": f"haul/{key}/{number}", "ContentType": part.get_content_type()}
        s3.put_object(Body=content, **where)
    names = [part.get_filename() for part in parts]
    return {"key": key, "subject": str(message["subject"]), "from": str(message["from"]), "parts": names}


if __name__ == "__main__":
    main()
