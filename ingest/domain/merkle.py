"""The Merkle tree of RFC 6962 (section 2.1): one hash over many leaves, with proofs for single ones."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

_LEAF, _NODE = b"\0", b"\1"


@dataclass(slots=True)
class MerkleTree:
    """Computes the root while leaves are added; keeps one hash for each power of two among their number."""

    _complete: list[tuple[int, bytes]] = field(default_factory=list)  # leaves below it, hash; the largest first

    def add(self, leaf: bytes) -> None:
        """Add the next leaf."""
        size, node = 1, hashlib.sha256(_LEAF + leaf).digest()
        while self._complete and self._complete[-1][0] == size:
            node = hashlib.sha256(_NODE + self._complete.pop()[1] + node).digest()
            size *= 2
        self._complete.append((size, node))

    @property
    def root(self) -> str:
        """The root over all leaves so far, in hex; of no leaves the hash of nothing."""
        if not self._complete:
            return hashlib.sha256().hexdigest()
        *others, (_, node) = self._complete
        for _, left in reversed(others):
            node = hashlib.sha256(_NODE + left + node).digest()
        return node.hex()
