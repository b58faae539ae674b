"""The ways of writing names that the sample mails use mean what they should to another parser."""

from __future__ import annotations

import email.policy
import re
from email import message_from_string
from email.header import decode_header, make_header

import pytest

from ingest.demo.writing import encoded_name, encoded_words, extended_parameter

_NAMES = ("a", "Übersicht_1 (neu) = 100 %.csv", "Größe?_", "Straße" * 30)


@pytest.mark.parametrize("text", [*_NAMES, "Łódź \N{EN DASH} Kraków €" * 5])
def test_encoded_words_read_back_and_each_is_short_enough(text: str) -> None:
    written = encoded_words(text)
    assert str(make_header(decode_header(written))) == text
    assert all(len(word) <= 75 for word in written.split())


@pytest.mark.parametrize("text", _NAMES)
def test_encoded_name_reads_back(text: str) -> None:
    written = encoded_name(text)
    assert str(make_header(decode_header(written))) == text
    assert re.fullmatch(r"=\?iso-8859-1\?Q\?[!->@-~]*\?=", written)


@pytest.mark.parametrize("text", [*_NAMES, "Łódź \N{EN DASH} Kraków €" * 5])
def test_extended_parameter_reads_back(text: str) -> None:
    header = f"Content-Disposition: attachment;\r\n {extended_parameter('filename', text)}\r\n\r\n"
    assert message_from_string(header, policy=email.policy.default).get_filename() == text
