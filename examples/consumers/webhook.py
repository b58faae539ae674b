"""Receives webhooks: WEBHOOK_SECRET=whsec_... python webhook.py 8080 inbox.db (standard library only)."""

import base64
import hmac
import json
import os
import sys
import time
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer

from inbox import Inbox

LARGEST = 64 * 1024
TOLERANCE = 300  # seconds; a request older than that was recorded and is played back

key = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))


def is_signed(headers: Message, body: bytes) -> bool:
    """Standard Webhooks: the sender knows the secret, and signed this body a moment ago."""
    sent, event = headers.get("webhook-timestamp", ""), headers.get("webhook-id", "")
    if not sent.isdecimal() or abs(time.time() - int(sent)) > TOLERANCE:
        return False
    digest = hmac.digest(key, f"{event}.{sent}.".encode() + body, "sha256")
    good = b"v1," + base64.b64encode(digest)
    # Several while the secret is being rotated.
    return any(hmac.compare_digest(good, one.encode()) for one in headers.get("webhook-signature", "").split())


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 only once the event is handled; everything else is sent again."""

    def do_POST(self) -> None:
        """Take one event."""
        length = self.headers.get("content-length", "")
        if not length.isdecimal() or int(length) > LARGEST:
            self.send_error(413)
            return
        body = self.rfile.read(int(length))
        if not is_signed(self.headers, body):
            self.send_error(401)
            return
        self.server.inbox.take(json.loads(body))
        self.send_response(204)
        self.end_headers()


if __name__ == "__main__":
    server = HTTPServer(("", int(sys.argv[1])), Receiver)
    server.inbox = Inbox(sys.argv[2])
    server.serve_forever()
