"""Mail that is signed as its sender would sign it, by the reference implementation, and where its keys are found."""

from __future__ import annotations

import base64
import socket
import threading
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import dkim  # type: ignore[import-untyped] # it brings no types
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DOMAIN, SELECTOR = "shop.example", "k1"
NAME = f"{SELECTOR}._domainkey.{DOMAIN}"
MAIL = (
    b"Received: from out.shop.example by mx.example.org; Mon, 1 Jun 2026 10:00:00 +0000\r\n"
    b"From: Ann  <ann@shop.example>\r\nTo: bob@example.org\r\nSubject: Your\r\n\tinvoice \r\n\r\n"
    b"Please  find \t it \r\nattached.\r\n\r\nYours\r\n\r\n\r\n"
)


@cache
def private_key() -> rsa.RSAPrivateKey:
    """A key of the tests' own, made once."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def record(modulus: int | None = None) -> bytes:
    """What the signer publishes of it, or of a key with another modulus."""
    public = private_key().public_key() if modulus is None else rsa.RSAPublicNumbers(65537, modulus).public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b"v=DKIM1; k=rsa; p=" + base64.b64encode(der)


def signed(mail: bytes = MAIL, forms: bytes = b"relaxed/relaxed", **options: object) -> bytes:
    """The mail with a signature on top; options are those of `dkim.sign`."""
    pem = private_key().private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    options = {"include_headers": [b"from", b"subject", b"to"], "canonicalize": tuple(forms.split(b"/")), **options}
    signature: bytes = dkim.sign(mail, SELECTOR.encode(), DOMAIN.encode(), pem, **options)
    return signature + mail


@contextmanager
def name_server(records: Mapping[str, bytes]) -> Iterator[tuple[str, int]]:
    """A DNS server on 127.0.0.1 that knows these TXT records; to names below `silent.` it gives no answer.

    Yields its address and port.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as served:
        served.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                wire, client = served.recvfrom(4096)
                if not wire:
                    return
                query = dns.message.from_wire(wire)
                name = query.question[0].name.to_text(omit_final_dot=True)
                if name.endswith("silent.example"):
                    continue
                served.sendto(_reply(query, records.get(name)).to_wire(), client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield served.getsockname()
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                other.sendto(b"", served.getsockname())
            thread.join()


def _reply(query: dns.message.Message, text: bytes | None) -> dns.message.Message:
    reply = dns.message.make_response(query)
    reply.flags |= dns.flags.RA
    if text is None:
        reply.set_rcode(dns.rcode.NXDOMAIN)
    else:
        strings = " ".join(f'"{text[at : at + 255].decode()}"' for at in range(0, len(text), 255))
        reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "TXT", strings))
    return reply
