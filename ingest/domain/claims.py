"""The claims that an identity provider makes about a user."""

from __future__ import annotations

from typing import Any


def claim_of(claims: dict[str, Any], name: str) -> Any:
    """Return a claim; None without it. A name with dots also stands for one inside others: `realm_access.roles`."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found
