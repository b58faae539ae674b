"""How much is taken out of the containers of one message, and how much of each: counted while it is taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingest.containers.limits import ContainerLimits


class BudgetExceededError(Exception):
    """More is inside than is taken out."""


@dataclass
class ExtractionBudget:
    """What may still be taken out of the message; all its containers share it."""

    limits: ContainerLimits
    children: int = 0
    size: int = 0
    messages: int = 0
    waited: float = 0.0


@dataclass
class ContainerBudget:
    """One container's part of it."""

    budget: ExtractionBudget
    container_size: int
    children: int = 0
    size: int = 0

    def take_child(self) -> int:
        """Count a file; returns its number, from 1."""
        budget, limits = self.budget, self.budget.limits
        if self.children >= limits.children or budget.children >= limits.all_children:
            raise BudgetExceededError
        self.children += 1
        budget.children += 1
        return self.children

    def take_bytes(self, size: int) -> None:
        """Count bytes of files."""
        limits = self.budget.limits
        self.size += size
        self.budget.size += size
        most = max(limits.ratio_free, limits.ratio * self.container_size)
        if self.size > most or self.budget.size > limits.max_bytes:
            raise BudgetExceededError
