"""How much is taken out of attachments. Each default has its reason beside it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ContainerLimits:
    """What is taken on of one message before the rest stays where it is, with a defect.

    The container itself is stored whole in any case.
    """

    depth: int = 3  # a PDF in a signed mail in a winmail.dat; more is no business mail
    children: int = 200  # of one container: Outlook itself stops at a few dozen
    all_children: int = 1000  # of one message, as many as parts
    max_bytes: int = 512 * 2**20  # of one message: one of 150 MiB, taken out at each of three depths, fits
    ratio: int = 100  # children's bytes to their container's; invoices in XML are compressed some 10 to 30 times
    ratio_free: int = 4 * 2**20  # below this no ratio counts: a small PDF may hold an XML of a thousand lines
    messages: int = 20  # signed messages that wait, in memory or a file, until the message around them was read
    child_seconds: float = 10.0  # CPU of one guarded process; the slowest of 10,000 pages needs two
    child_bytes: int = 512 * 2**20  # memory of one; ten times what an interpreter with pypdf and its tables needs
    seconds: float = 60.0  # wall clock in all guarded processes of one message, which may be processed for 300
