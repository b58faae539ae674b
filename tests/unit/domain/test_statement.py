"""Statements: one form for one meaning, and a root that every message changes."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.domain.merkle import MerkleTree
from ingest.domain.statement import Entry, ObjectHash, canonical, is_canonical, last_closed_day

# Known answers: leaves in hex, and the root over the first 0, 1, 2, ... of them.
LEAVES = [
    *("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"),
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcXYZ_09", max_size=8), inner, max_size=4),
)


def root(leaves: list[bytes]) -> str:
    tree = MerkleTree()
    for leaf in leaves:
        tree.add(leaf)
    return tree.root


def recursive_root(leaves: list[bytes]) -> bytes:
    """As RFC 6962 section 2.1 defines it."""
    if len(leaves) < 2:
        return hashlib.sha256(b"\0" + leaves[0] if leaves else b"").digest()
    half = 1 << ((len(leaves) - 1).bit_length() - 1)
    return hashlib.sha256(b"\1" + recursive_root(leaves[:half]) + recursive_root(leaves[half:])).digest()


@pytest.mark.parametrize("count", range(len(ROOTS)))
def test_root_has_the_known_value(count: int) -> None:
    assert root([bytes.fromhex(leaf) for leaf in LEAVES[:count]]) == ROOTS[count]


@given(st.lists(st.binary(max_size=8), max_size=70))
def test_root_is_that_of_the_definition(leaves: list[bytes]) -> None:
    assert root(leaves) == recursive_root(leaves).hex()


@given(JSON)
def test_canonical_json_is_read_back_and_has_one_form(value: object) -> None:
    data = canonical(value)
    assert json.loads(data) == value
    assert is_canonical(data)
    assert not is_canonical(data + b" ")


def test_only_one_form_is_canonical() -> None:
    assert is_canonical(b'{"a":1,"b":"\xc3\xa9"}')
    for other in (b'{"b":"\xc3\xa9","a":1}', b'{"a": 1}', b'{"a":1,"b":"\\u00e9"}', b"{", b"\xff", b'{"a":1,"a":1}'):
        assert not is_canonical(other), other


def test_entry_is_read_back_from_its_line() -> None:
    entry = Entry(
        folder="a/2026/11/23/00",
        change="stored",
        state="processed",
        raw=ObjectHash(size=1, sha256="00"),
        others=[ObjectHash(size=2, sha256="11")],
        delivery="waiting",
    )
    assert Entry.model_validate_json(entry.to_line()) == entry
    assert is_canonical(entry.to_line())


@pytest.mark.parametrize(
    ("now", "day"),
    [
        (datetime(2026, 11, 27, 0, 59, 59, tzinfo=UTC), date(2026, 11, 25)),
        (datetime(2026, 11, 27, 1, 0, 0, tzinfo=UTC), date(2026, 11, 26)),
        (datetime(2026, 11, 27, 23, 59, 59, tzinfo=UTC), date(2026, 11, 26)),
    ],
)
def test_day_is_closed_once_it_has_been_over_for_the_grace(now: datetime, day: date) -> None:
    assert last_closed_day(now, 3_600.0) == day
