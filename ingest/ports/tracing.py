"""The seam to distributed tracing: what was done to a message, by whom and for how long, over all processes.

A span is one step. A step names the one it follows by a traceparent (W3C Trace Context section 3.2), which travels
with the message: in the ledger while it is open, then in its event. Spans say nothing of what mail says: `Attributes`
is all they can hold.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypedDict

from typing_extensions import override

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self, Unpack


class Step(StrEnum):
    """The name of a span."""

    POLL = "poll"  # one poll of a mailbox
    FETCH = "fetch"  # the messages that one of its sessions fetched, until they were registered
    PROCESS = "process"  # one message
    DELIVER = "deliver"  # one event to one sink


class Attributes(TypedDict, total=False):
    """Everything that a span may tell. Ids are ours, or the configuration's; counts are messages, but `bytes`."""

    mailbox: str
    server: str
    message: str
    event: str
    sink: str
    outcome: str
    tries: int
    listed: int
    new: int
    stored: int
    duplicate: int
    oversize: int
    failed: int
    deleted: int
    size_bytes: int
    fetched_bytes: int
    attachments: int
    defects: int


class Span(Protocol):
    """A step that is under way; it ends with its `with` block, and what leaves that as an exception made it fail."""

    @property
    def traceparent(self) -> str | None:
        """What the steps that follow have to know of this one; None when nothing is traced."""
        ...

    def child(self, step: Step, **attributes: Unpack[Attributes]) -> Span:
        """Begin a step that is a part of this one."""
        ...

    def note(self, **attributes: Unpack[Attributes]) -> None:
        """Add what is known by now."""
        ...

    def fail(self, code: str) -> None:
        """The step did not do what it was to do; `code` is that of an error, no text."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Tracer(Protocol):
    """Begins spans. Nothing here raises, waits for a network, or holds up the work that is traced.

    Attributes:
        active: whether anything is traced; asked before what takes time to find out for a span.
    """

    active: bool

    def start(self, step: Step, parent: str | None = None, **attributes: Unpack[Attributes]) -> Span:
        """Begin a step.

        Args:
            step: its name.
            parent: the traceparent of the step it follows; without one, or with one that cannot be read, it begins a
                trace.
            attributes: what is known already.
        """
        ...

    def close(self) -> None:
        """Hand over the spans that have ended, if that takes a few seconds at most."""
        ...


class _NoSpan(Span):
    """A span that nobody sees."""

    __slots__ = ()
    traceparent: str | None = None

    @override
    def child(self, step: Step, **attributes: Unpack[Attributes]) -> Span:
        return self

    @override
    def note(self, **attributes: Unpack[Attributes]) -> None:
        pass

    @override
    def fail(self, code: str) -> None:
        pass

    @override
    def __enter__(self) -> Self:
        return self

    @override
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class _NoTracing(Tracer):
    """Traces nothing: what everything works with unless tracing is configured."""

    active = False

    @override
    def start(
        self,
        step: Step,
        parent: str | None = None,
        **attributes: Unpack[Attributes],
    ) -> Span:
        return NO_SPAN

    @override
    def close(self) -> None:
        pass


NO_SPAN: Span = _NoSpan()
NO_TRACING: Tracer = _NoTracing()
