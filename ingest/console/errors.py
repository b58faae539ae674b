"""What a question or an action may be answered with instead."""

from __future__ import annotations

from ingest.errors import Fault, MailhaulError


class NotFoundError(MailhaulError):
    """It does not exist, or whoever asks may not see it; the answer is the same for both."""

    fault = Fault.OPERATOR
    code = "not_found"


class FilterError(MailhaulError):
    """A filter cannot be used; the text says why."""

    fault = Fault.OPERATOR
    code = "filter"
