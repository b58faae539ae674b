"""Mailhaul: business mail out of POP3 mailboxes, into object storage, with an event for each message."""

__version__ = "0.1.0"
