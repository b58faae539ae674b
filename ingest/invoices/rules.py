"""How a format is described: one table of paths, and the marks by which its documents are recognised."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from ingest.invoices.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ingest.domain.invoice import InvoiceFormat
    from ingest.invoices.values import DateOrder

# The slots beside those of `InvoiceFields`: the id that names the profile, a version or variant, and an element that
# must be there, for formats whose root alone proves nothing.
GUIDELINE, PROFILE, PROOF = "guideline", "profile", "proof"
LINES = "lines"  # the sum of the lines


def party_paths(role: str, slots: Mapping[str, str | tuple[str, ...]]) -> dict[str, str | tuple[str, ...]]:
    """Return the paths of one party: those of `name`, `vat_id` and `country`, for `seller` or `buyer`."""
    return {f"{role}.{slot}": path for slot, path in slots.items()}


def parties(paths: Mapping[str, str], slots: Mapping[str, str | tuple[str, ...]]) -> dict[str, str | tuple[str, ...]]:
    """Return the paths of both parties, whose elements have the same content.

    Args:
        paths: the path, or a part of it, by `seller` and `buyer`.
        slots: the paths by `name`, `vat_id` and `country`, with braces where that stands.
    """
    return {
        f"{role}.{slot}": tuple(path.replace("{}", party) for path in ((found,) if isinstance(found, str) else found))
        for role, party in paths.items()
        for slot, found in slots.items()
    }


@dataclass(frozen=True)
class XmlFormat:
    """One XML format, or a family of documents with the same paths.

    Attributes:
        name: what the manifest calls it.
        source: where its paths come from.
        roots: the document elements, by local name, and the path of one invoice below each; empty if the document is
            one invoice.
        namespace: what the namespace of the root matches in whole; empty for none. The group `version`, if there is
            one, is the profile of a document that names none; `p` and `_` in it stand for points.
        paths: the paths by slot, below the single invoice.
        kind: what a document is, by root, if its own code does not say.
        kinds: what its codes mean.
        order: how it writes dates.
        profiles: patterns that are searched in the guideline; the first match names the profile.
        profile: the profile of a document that names none.
        proof: whether the element at the slot `proof` must be there.
        likely: whether documents found by this are only likely of the format.
        needs_profile: whether only a known guideline makes it one.
        nets_by_lines: profiles that may have the tax where others have the net total.
        versions: what the written profile of a document matches if it is certainly of the format.
    """

    name: InvoiceFormat
    source: str
    roots: Mapping[str, str]
    namespace: str
    paths: Mapping[str, str | tuple[str, ...]]
    kind: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    order: DateOrder = "ymd"
    profiles: tuple[tuple[str, str], ...] = ()
    profile: str | None = None
    proof: bool = False
    likely: bool = False
    needs_profile: bool = False
    versions: str = ""
    nets_by_lines: frozenset[str] = frozenset()

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The pattern of the namespace."""
        return re.compile(self.namespace)

    @cached_property
    def compiled(self) -> dict[str, Paths]:
        """The compiled paths by root."""
        return {root: Paths(self.paths, item) for root, item in self.roots.items()}

    @property
    def is_tentative(self) -> bool:
        """Whether the root alone does not decide."""
        return self.proof or self.needs_profile

    def profile_of(self, guideline: str | None, written: str | None, namespace: str) -> str | None:
        """Return the profile: by the guideline, as written, by the namespace, or the only one there is."""
        known = next((name for pattern, name in self.profiles if guideline and re.search(pattern, guideline)), None)
        if known is not None or self.needs_profile:
            return known
        if written:
            return written
        found = self.pattern.fullmatch(namespace)
        version = found.groupdict().get("version") if found is not None else None
        return re.sub("[p_]", ".", version) if version else self.profile
