"""The POP3 client. `Pop3Connector` opens sessions; all else serves it."""

from ingest.pop3.connector import Pop3Connector

__all__ = ["Pop3Connector"]
