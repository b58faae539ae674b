"""What all three consumers do with an event: the work, and a record that it is done, in one transaction."""

import sqlite3


class Inbox:
    """Handles each event once, however often it is delivered: a repeated event has the same id."""

    def __init__(self, path: str) -> None:
        self._db = sqlite3.connect(path)
        with self._db:
            self._db.execute("CREATE TABLE IF NOT EXISTS handled (event TEXT PRIMARY KEY)")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS attachments (message TEXT, filename TEXT, bucket TEXT, key TEXT)"
            )

    def take(self, event: dict) -> None:
        """Handle an event, unless it was handled before; when this returns, it may be confirmed."""
        with self._db:  # both rows or none, whenever the power fails
            if self._db.execute("INSERT OR IGNORE INTO handled VALUES (?)", [event["id"]]).rowcount:
                self._work(event)

    def _work(self, event: dict) -> None:
        """Yours. Where it is done elsewhere (an order, a payment), hand the event's id on: done once there too."""
        if event["type"] != "dev.mailhaul.message.received.v1":
            return  # oversize or failed: for a person
        # Above 32 attachments the event is `attachments_truncated`; the rest is in the object that `manifest` names.
        for attachment in event["data"]["attachments"]:
            stored = attachment["object"]
            row = [event["subject"], attachment["filename"], stored["bucket"], stored["key"]]
            self._db.execute("INSERT INTO attachments VALUES (?, ?, ?, ?)", row)
