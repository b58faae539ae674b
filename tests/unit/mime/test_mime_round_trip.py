"""Any tree of parts that the standard library writes is read back with identical bytes."""

from __future__ import annotations

from dataclasses import dataclass
from email import encoders, policy
from email.message import EmailMessage
from email.mime.base import MIMEBase
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.mime import SIZES, read

if TYPE_CHECKING:
    from email.message import Message

CRLF = policy.compat32.clone(linesep="\r\n")


@dataclass(frozen=True)
class File:
    name: str
    data: bytes
    quoted: bool


@dataclass(frozen=True)
class Folder:
    nested: bool
    members: list[File | Folder]


names = st.text(st.characters(categories=["L", "N"], include_characters=" ;'\"%*="), min_size=1, max_size=40).map(
    lambda name: f"a{name}z"
)
# Quoted-printable as the standard library writes it turns line ends into the message's own.
quotable = st.binary(max_size=200).map(lambda data: data.replace(b"\r", b"").replace(b"\n", b""))
files = st.one_of(
    st.builds(File, names, st.binary(max_size=2000), st.just(False)),
    st.builds(File, names, quotable, st.just(True)),
)
trees = st.recursive(files, lambda inner: st.builds(Folder, st.booleans(), st.lists(inner, min_size=1, max_size=4)))


def written(tree: File | Folder) -> Message:
    if isinstance(tree, File):
        part = MIMEBase("application", "octet-stream")
        part.set_payload(tree.data)
        (encoders.encode_quopri if tree.quoted else encoders.encode_base64)(part)
        part.add_header("Content-Disposition", "attachment", filename=("utf-8", "", tree.name))
        return part
    container = MIMEMultipart("mixed", _subparts=[written(member) for member in tree.members])
    return MIMEMessage(container) if tree.nested else container


def leaves_of(tree: File | Folder) -> list[tuple[str, bytes]]:
    if isinstance(tree, File):
        return [(tree.name, tree.data)]
    return [leaf for member in tree.members for leaf in leaves_of(member)]


@given(trees, st.sampled_from(SIZES))
def test_files_are_read_back_as_the_standard_library_wrote_them(tree: File | Folder, size: int) -> None:
    found = read(written(tree).as_bytes(policy=CRLF), size)
    files_found = [leaf for leaf in found.leaves.values() if leaf.head.role == "attachment"]
    assert [(leaf.head.filename, leaf.content) for leaf in files_found] == leaves_of(tree)
    assert (found.status, found.defects) == ("complete", ())
    assert all(not leaf.defects for leaf in found.leaves.values())


@given(trees)
@settings(max_examples=30)
def test_a_nested_mail_is_read_back_as_it_was_written(tree: File | Folder) -> None:
    inner = MIMEMultipart("mixed", _subparts=[written(tree)])
    outer = MIMEMultipart("mixed", _subparts=[MIMEMessage(inner)])
    found = read(outer.as_bytes(policy=CRLF))
    assert found.leaves["1"].content == inner.as_bytes(policy=CRLF)


# No control characters: the standard library breaks lines at more of them than mail does.
texts = st.text(st.one_of(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), st.just("\n")), max_size=300)
charsets = st.sampled_from(["utf-8", "iso-8859-1", "windows-1252", "iso-2022-jp", "koi8-r"])
encodings = st.sampled_from(["base64", "quoted-printable", "8bit"])


@given(texts, charsets, encodings, st.sampled_from(["\n", "\r\n"]), st.sampled_from(SIZES))
def test_a_text_is_read_back_as_it_was_written(text: str, charset: str, encoding: str, end: str, size: int) -> None:
    """In any charset and encoding; characters that the charset lacks are removed first."""
    text = text.encode(charset, "ignore").decode(charset)
    message = EmailMessage(policy=policy.SMTP.clone(linesep=end))
    message.set_content(text, charset=charset, cte=encoding)
    message.add_attachment(b"x", maintype="application", subtype="pdf", filename="a.pdf")
    leaf = read(message.as_bytes(), size).leaves["1"]
    assert leaf.head.role == "text"
    assert leaf.content.decode().replace("\r\n", "\n").rstrip("\n") == text.rstrip("\n")
    assert not leaf.defects


@given(st.binary(max_size=2000), st.sampled_from(SIZES))
def test_unencoded_bytes_are_read_back(data: bytes, size: int) -> None:
    """`binary` (RFC 3030): only the delimiter ends them."""
    head = b'Content-Type: multipart/mixed; boundary="=_b"\r\n\r\n--=_b\r\nContent-Type: image/png\r\n\r\n'
    found = read(head + data + b"\r\n--=_b--\r\n", size)
    assert [leaf.content for leaf in found.leaves.values()] == [data]
