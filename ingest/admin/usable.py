"""Ask ledger and broker before a process or a command uses them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.errors import LedgerUnavailableError, StartError
from ingest.ports.ledger import Severity

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.ports.ledger import LedgerConnection

log = get_logger()


def require_usable(ledger: LedgerConnection) -> None:
    """Log what is wrong with the ledger, before a process uses it. One that does not answer may do so later.

    Raises:
        StartError: the ledger must not be used like this.
    """
    try:
        problems = ledger.problems()
    except LedgerUnavailableError:
        return
    for problem in problems:
        write = log.warning if problem.severity is Severity.WARNING else log.error
        write("ledger.problem", problem=problem.code)
    if fatal := [problem.text for problem in problems if problem.severity is Severity.FATAL]:
        raise StartError("\n".join(fatal))


def require_usable_broker(check_broker: Callable[[], str]) -> None:
    """Ask the broker before a process uses it. One that does not answer may do so later.

    Raises:
        StartError: Celery cannot use it.
    """
    with suppress(LedgerUnavailableError):
        check_broker()
