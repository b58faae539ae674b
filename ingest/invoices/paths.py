"""Values of an XML document by path, collected in one pass over its tags.

A table maps slots to paths, in order of preference:

    ID                                        text of a child of the document element
    BuyerReference/@id                        an attribute
    Party[Role=buyer|payer]/Name              only where a child has one of these texts, in whatever order they come
    Tax[@schemeID=VA]/ID                      only where an attribute has this value
    TaxTotal[TaxSubtotal]/TaxAmount           only where there is such a child
    Tax/Amount!                               only if it occurs once: of several taxes none is the total
    Sums/(Low|High)                           elements of the same rank; with ! only if one of them occurs, once
    /Header/Seller/Name                       in a file of several invoices, outside of the single one
    Notes[P_17=1]->self                       the text behind the arrow if there is such an element

Names are local names; prefixes are ignored. Comparisons ignore case. Only what a table asks for is kept, and each
text and each list of values has a limit, so memory does not grow with the document.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_STEP = re.compile(r"([^\[\]@]+)((?:\[[^\]]+\])*)")
_TEST = re.compile(r"\[([^\]=]+)(?:=([^\]]*))?\]")
_CHOICE = re.compile(r"\(([^()]+)\)")
_SLASH = re.compile(r"/(?![^\[]*\])")
# Attributes with the currency of an amount: UBL, CII, Finvoice, cXML, GS1.
_CURRENCIES = ("currencyID", "AmountCurrencyIdentifier", "currency", "currencyCode")
_TEXT_CHARACTERS = 2000  # longer than any value that is kept
_VALUES = 32  # of one slot: the accounts of one seller, the tax totals of one invoice


class Value(NamedTuple):
    """One value: the preference of the path it was found at (0 is best), and the currency beside an amount."""

    rank: int
    text: str
    currency: str = ""


Store = dict[str, list[Value]]


class Node:
    """One step of the paths, with the steps that may follow.

    Attributes:
        children: the next steps, by local name; several if they have different conditions.
        slots: what the text of this element is a value of, and with which preference.
        attributes: the same for attributes, by local name.
        required: attributes that it must have, and their values, upper case.
        tests: slots of this element that must have one of some values, upper case; any, if there is no set.
        marks: slots that get a fixed text, with a preference, if such an element is there.
        item: whether it is one of the invoices of the file.
    """

    __slots__ = ("attributes", "children", "item", "marks", "required", "slots", "tests")

    def __init__(self) -> None:
        self.children: dict[str, list[tuple[str, Node]]] = {}
        self.slots: list[tuple[str, int]] = []
        self.attributes: dict[str, list[tuple[str, int]]] = {}
        self.required: list[tuple[str, frozenset[str]]] = []
        self.tests: list[tuple[str, frozenset[str] | None]] = []
        self.marks: list[tuple[str, Value]] = []
        self.item = False

    def step(self, name: str, conditions: str) -> Node:
        """Return the child of a name under conditions as they are written; the same one for the same."""
        known = self.children.setdefault(name, [])
        for written, node in known:
            if written == conditions:
                return node
        node = Node()
        known.append((conditions, node))
        for number, test in enumerate(_TEST.finditer(conditions)):
            path, values = test[1], test[2]
            allowed = frozenset(values.upper().split("|")) if values is not None else None
            if path.startswith("@") and allowed is not None:
                node.required.append((path[1:], allowed))
                continue
            slot = f"?{number}"
            node.tests.append((slot, allowed))
            target, attribute = node.reach(path)
            if attribute:
                target.attributes.setdefault(attribute, []).append((slot, 0))
            elif allowed is None:
                target.marks.append((slot, Value(0, "")))
            else:
                target.slots.append((slot, 0))
        return node

    def reach(self, path: str) -> tuple[Node, str]:
        """Return the node of a path below this one, and the attribute that the path ends in, if any."""
        node = self
        for step in _SLASH.split(path) if path else ():
            if step.startswith("@"):
                return node, step[1:]
            found = _STEP.fullmatch(step)
            assert found is not None, path
            node = node.step(found[1], found[2])
        return node, ""


class Paths:
    """The paths of one format, compiled.

    Args:
        table: slots and their paths; see above.
        item: the path of one invoice below the document element, or several, separated by bars; empty if that element
            is the invoice.
    """

    def __init__(self, table: Mapping[str, str | tuple[str, ...]], item: str = "") -> None:
        self.root = Node()
        self.has_items = bool(item)
        self.single: set[str] = set()
        starts = [self.root.reach(path)[0] for path in item.split("|")]
        for start in starts:
            start.item = self.has_items
        for slot, written in table.items():
            for rank, path in enumerate((written,) if isinstance(written, str) else written):
                if path.endswith("!"):
                    self.single.add(slot)
                for base in [self.root] if path.startswith("/") else starts:
                    for each in _alternatives(path.strip("/!")):
                        _register(base, slot, rank, each)


def _alternatives(path: str) -> list[str]:
    """Return the paths that a path in parentheses stands for."""
    found = _CHOICE.search(path)
    if found is None:
        return [path]
    return [f"{path[: found.start()]}{name}{path[found.end() :]}" for name in found[1].split("|")]


def _register(base: Node, slot: str, rank: int, path: str) -> None:
    path, _, fixed = path.partition("->")
    node, attribute = base.reach(path)
    if fixed:
        node.marks.append((slot, Value(rank, fixed)))
    elif attribute:
        node.attributes.setdefault(attribute, []).append((slot, rank))
    else:
        node.slots.append((slot, rank))


class _Frame:
    """An open element: what it matches, each with the values of it and of the element around it, and its text."""

    __slots__ = ("currency", "matches", "text")

    def __init__(self, matches: list[tuple[Node, Store, Store]], *, has_text: bool) -> None:
        self.matches = matches
        self.text: list[str] | None = [] if has_text else None
        self.currency = ""


class Collector:
    """Collects the values of one document; fed with its tags and texts.

    Attributes:
        found: the values by slot.
        count: invoices seen.
        listens: whether texts are wanted at this point.
    """

    def __init__(self, paths: Paths) -> None:
        self.found: Store = {}
        self.count = 0 if paths.has_items else 1
        self.listens = False
        self._frames: list[_Frame] = []
        self._outside = 0  # depth below the last element of interest
        self._root = paths.root
        self._characters = 0

    def start(self, name: str, attributes: Sequence[str]) -> bool:
        """Take a start tag: the local name, and names and values of attributes in turn.

        Returns whether something inside of the element may be of interest. If not, its end has to be reported, and
        what it contains may be.
        """
        if self._outside:
            self._outside += 1
            return False
        if self._frames:
            matches = self._matches(self._frames[-1], name, attributes)
            if not matches:
                self._outside = 1
                self.listens = False
                return False
        else:
            matches = [(self._root, self.found, self.found)]
        has_text = False
        for node, _, _ in matches:
            has_text = has_text or bool(node.slots)
        frame = _Frame(matches, has_text=has_text)
        self._frames.append(frame)
        self.listens = frame.text is not None
        self._characters = 0
        if attributes:
            self._take(frame, attributes)
        return True

    def _matches(self, frame: _Frame, name: str, attributes: Sequence[str]) -> list[tuple[Node, Store, Store]]:
        found: list[tuple[Node, Store, Store]] = []
        for node, store, _ in frame.matches:
            for _, child in node.children.get(name, ()):
                if child.item:
                    self.count += 1
                    if self.count > 1:
                        continue
                if child.required and not _has(child, attributes):
                    continue
                own: Store = {} if child.tests else store
                found.append((child, own, store))
                for slot, value in child.marks:
                    add(own, slot, value)
        return found

    def _take(self, frame: _Frame, attributes: Sequence[str]) -> None:
        if frame.text is None and not any(node.attributes for node, _, _ in frame.matches):
            return
        values = _local(attributes)
        if frame.text is not None:
            frame.currency = next((values[name] for name in _CURRENCIES if name in values), "")
        for node, store, _ in frame.matches:
            for name, slots in node.attributes.items():
                if name in values:
                    for slot, rank in slots:
                        add(store, slot, Value(rank, values[name][:_TEXT_CHARACTERS]))

    def text(self, text: str) -> None:
        """Take a piece of text; to be called only while `listens`."""
        frame = self._frames[-1]
        if frame.text is not None and self._characters < _TEXT_CHARACTERS:
            frame.text.append(text[:_TEXT_CHARACTERS])
            self._characters += len(text)

    def end(self) -> bool:
        """Take an end tag; returns whether the document ended with it."""
        if self._outside:
            self._outside -= 1
            self.listens = not self._outside and self._frames[-1].text is not None
            return False
        frame = self._frames.pop()
        text = "".join(frame.text) if frame.text is not None else ""
        for node, store, around in frame.matches:
            for slot, rank in node.slots:
                add(store, slot, Value(rank, text, frame.currency))
            if node.tests and _passes(node, store):
                for slot, values in store.items():
                    if not slot.startswith("?"):
                        for value in values:
                            add(around, slot, value)
        self.listens = bool(self._frames) and self._frames[-1].text is not None
        return not self._frames


def add(store: Store, slot: str, value: Value) -> None:
    """Add a value to those of a slot, unless it has many already."""
    values = store.setdefault(slot, [])
    if len(values) < _VALUES:
        values.append(value)


def _local(attributes: Sequence[str]) -> dict[str, str]:
    """Return the attributes by local name, without declarations of namespaces."""
    return {
        name.rpartition(":")[2]: value
        for name, value in zip(attributes[::2], attributes[1::2], strict=True)
        if not name.startswith("xmlns")
    }


def _has(node: Node, attributes: Sequence[str]) -> bool:
    values = _local(attributes)
    return all(values.get(name, "").strip().upper() in allowed for name, allowed in node.required)


def _passes(node: Node, store: Store) -> bool:
    return all(
        slot in store and (allowed is None or any(v.text.strip().upper() in allowed for v in store[slot]))
        for slot, allowed in node.tests
    )
