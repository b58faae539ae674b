"""The POP3 client. `Pop3Connector` opens sessions; the other modules are its parts."""

from ingest.pop3.connector import Pop3Connector

__all__ = ["Pop3Connector"]
