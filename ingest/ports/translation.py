"""How an adapter raises the errors of its port instead of those of its library."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from ingest.errors import MailhaulError


class Translation:
    """A context manager that translates the error that ends its block.

    A class, since a generator takes several times as long, and stores enter one for each request and each read.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and (translated := self.translate(error)) is not None:
            raise translated from error

    def translate(self, error: BaseException) -> MailhaulError | None:
        """Return the error to raise instead; None to leave this one as it is."""
        raise NotImplementedError
