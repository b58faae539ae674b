"""Limits on what is extracted from the containers of one message, and from each one, enforced while extracting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingest.containers.limits import ContainerLimits


class BudgetExceededError(Exception):
    """A container holds more than may be extracted."""


@dataclass
class ExtractionBudget:
    """What was extracted from all containers of a message.

    Attributes:
        files: how many files.
        size: their bytes.
        messages: how many signed messages were opened.
        waited: seconds spent waiting for guarded processes.
    """

    limits: ContainerLimits
    files: int = 0
    size: int = 0
    messages: int = 0
    waited: float = 0.0


@dataclass
class ContainerBudget:
    """What was extracted from one container; counted in the message's budget too."""

    message: ExtractionBudget
    container_size: int
    files: int = 0
    size: int = 0

    def count_file(self) -> int:
        """Count a file; returns its number in the container, from 1.

        Raises:
            BudgetExceededError: it is one too many.
        """
        limits = self.message.limits
        if self.files >= limits.children or self.message.files >= limits.all_children:
            raise BudgetExceededError
        self.files += 1
        self.message.files += 1
        return self.files

    def count_bytes(self, size: int) -> None:
        """Count bytes of files.

        Raises:
            BudgetExceededError: they are too many, for the message or in proportion to the container's size.
        """
        limits = self.message.limits
        self.size += size
        self.message.size += size
        most = max(limits.ratio_free, limits.ratio * self.container_size)
        if self.size > most or self.message.size > limits.max_bytes:
            raise BudgetExceededError
