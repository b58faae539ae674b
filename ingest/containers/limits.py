"""Limits on extraction from attachments. Each default has its reason beside it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ContainerLimits:
    """How much is extracted from one message; the rest stays in its container, with a defect.

    The container itself is always stored whole.
    """

    depth: int = 3  # a PDF in a signed mail in a winmail.dat; business mail does not go deeper
    children: int = 200  # of one container: Outlook itself stops at a few dozen
    all_children: int = 1000  # of one message, the same as its limit on parts
    max_bytes: int = 512 * 2**20  # of one message: 150 MiB, extracted at each of three depths, fits
    ratio: int = 100  # bytes of the children to bytes of the container; XML invoices compress 10 to 30 times
    ratio_free: int = 4 * 2**20  # the ratio applies above this: a small PDF may hold XML of a thousand lines
    messages: int = 20  # signed messages kept, in memory or a file, until the message around them was read
    child_seconds: float = 10.0  # CPU of one guarded process; the slowest PDF of 10,000 pages needs two
    child_bytes: int = 512 * 2**20  # memory of one; ten times what an interpreter with pypdf needs
    seconds: float = 60.0  # wall clock of all guarded processes of one message, whose task may take 300
