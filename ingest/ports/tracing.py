"""The port to distributed tracing: what each process did to a message, and for how long.

A span is one step. A step refers to the one before it by a traceparent (W3C Trace Context section 3.2), which travels
with the message: in the ledger while it is open, then in its event. Spans hold nothing of the content of mail, only
`Attributes`.
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
    FETCH = "fetch"  # the messages that one of its sessions fetched, until they are registered
    PROCESS = "process"  # one message
    DELIVER = "deliver"  # one event to one sink


class Attributes(TypedDict, total=False):
    """All attributes of spans. Ids are Mailhaul's or the configuration's; counts are messages, unless named bytes."""

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
    """A running step. It ends with its `with` block, and has failed if an exception leaves the block."""

    @property
    def traceparent(self) -> str | None:
        """The reference for the steps that follow; None if nothing is traced."""
        ...

    def child(self, step: Step, **attributes: Unpack[Attributes]) -> Span:
        """Start a step that is part of this one."""
        ...

    def note(self, **attributes: Unpack[Attributes]) -> None:
        """Add attributes."""
        ...

    def fail(self, code: str) -> None:
        """Mark the step as failed, with an error's code, never its text."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Tracer(Protocol):
    """Starts spans. No method raises, or waits for a network, except `close`.

    Attributes:
        active: whether anything is traced; to be checked before computing expensive attributes.
    """

    active: bool

    def start(self, step: Step, parent: str | None = None, **attributes: Unpack[Attributes]) -> Span:
        """Start a step.

        Args:
            step: its name.
            parent: the traceparent of the step before it. If it is None or invalid, the step starts a trace.
            attributes: those that are known already.
        """
        ...

    def close(self) -> None:
        """Export the spans that have ended, within a few seconds at most."""
        ...


class _NoSpan(Span):
    """A span that is not recorded."""

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
    """Traces nothing; the default unless tracing is configured."""

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
