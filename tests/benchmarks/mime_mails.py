"""The mails of the MIME benchmark, the same each time: bytes of attachments come from a seeded generator."""

from __future__ import annotations

import base64
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_HEAD = """\
Return-Path: <billing@nordwind.example>
Delivered-To: invoices@suedhafen.example
Received: from mx1.suedhafen.example (mx1.suedhafen.example [192.0.2.10])
\tby store.suedhafen.example (Postfix) with ESMTPS id 4Xy1Zk2Lwnz9sT
\tfor <invoices@suedhafen.example>; Mon, 2 Mar 2026 08:15:32 +0100 (CET)
Received: from out.nordwind.example (out.nordwind.example [198.51.100.7])
\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)
\t key-exchange X25519 server-signature RSA-PSS (2048 bits))
\tby mx1.suedhafen.example (Postfix) with ESMTPS id 4Xy1Zj5Qd8z1nB
\tfor <invoices@suedhafen.example>; Mon, 2 Mar 2026 08:15:30 +0100 (CET)
Authentication-Results: mx1.suedhafen.example;
\tdkim=pass header.d=nordwind.example header.s=s1;
\tspf=pass smtp.mailfrom=nordwind.example; dmarc=pass
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=nordwind.example;
\ts=s1; t=1772435730; h=from:from:reply-to:subject:date:message-id:to:
\t mime-version:content-type:content-transfer-encoding;
\tbh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;
\tb=dzdVyOfAKCdLXdJOc9G2q8LoXSlEniSbav+yuU4zGeeruD00lszZVoG4ZHRNiYzR
\t qv9wKX9nT3OF0mYkvHq1r2lXn0sQ7h3m5bTgB8cEwYpUaJxKdLiRfVoWtNzMhSyA
From: Nordwind Handels GmbH <billing@nordwind.example>
To: =?utf-8?Q?S=C3=BCdhafen_Rechnungen?= <invoices@suedhafen.example>
Cc: "Jensen, Maike" <m.jensen@suedhafen.example>
Subject: =?utf-8?Q?Rechnung_2026-0314_f=C3=BCr_M=C3=A4rz?=
Date: Mon, 2 Mar 2026 08:15:28 +0100
Message-ID: <20260302071528.4711@nordwind.example>
References: <20260227101112.4242@nordwind.example>
X-Mailer: Nordwind ERP 7.3
X-Spam-Status: No, score=-2.1
MIME-Version: 1.0
"""
_TEXT = """\
Sehr geehrte Damen und Herren,

anbei erhalten Sie unsere Rechnung 2026-0314 f=C3=BCr die Lieferung vom 27. F=
ebruar. Der Betrag ist innerhalb von 14 Tagen ohne Abzug f=C3=A4llig.

"""
_TEXT_HEAD = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n"


def mails_of_sizes() -> dict[str, bytes]:
    """Return one mail of each size of the end-to-end benchmark, with CRLF and without its marker header."""
    draw = random.Random(2027)  # noqa: S311 - no secrets
    made = {
        "5 KB": _HEAD + _TEXT_HEAD + _TEXT * 26,
        "40 KB": _with_files(draw, 27_000),
        "200 KB": _with_files(draw, 145_000),
    }
    return {name: mail.replace("\n", "\r\n").encode() for name, mail in made.items()}


def write_mails(folder: Path) -> dict[str, list[Path]]:
    """Write the mails into a folder; returns the rows of the table and their files."""
    draw = random.Random(2026)  # noqa: S311 - no secrets
    mails = {
        "5 KB of text": _HEAD + _TEXT_HEAD + _TEXT * 26,
        "200 KB with a PDF": _with_files(draw, 145_000),
        "a 25 MB attachment": _with_files(draw, 25_000_000),
        "200 parts, nested 10 deep": _HEAD + _level(draw, 1),
    }
    found = {}
    for name, mail in mails.items():
        file = folder / f"{name}.eml"
        file.write_bytes(mail.replace("\n", "\r\n").encode())
        found[name] = [file]
    return found


def _with_files(draw: random.Random, size: int) -> str:
    text = "--b\n" + _TEXT_HEAD + _TEXT * 5
    return (
        _HEAD + 'Content-Type: multipart/mixed; boundary="b"\n\n' + text + _file(draw, "b", "pdf", size) + "--b--\n"
    )


def _level(draw: random.Random, depth: int) -> str:
    """Return twenty files of 4 KiB and the next level, down to ten levels."""
    boundary = f"----=_Part_{depth}"
    parts = "".join(_file(draw, boundary, f"{depth}-{number}", 4096) for number in range(20))
    inner = f"--{boundary}\n{_level(draw, depth + 1)}" if depth < 10 else ""
    return f'Content-Type: multipart/mixed; boundary="{boundary}"\n\n{parts}{inner}--{boundary}--\n'


def _file(draw: random.Random, boundary: str, name: str, size: int) -> str:
    content = base64.encodebytes(draw.randbytes(size)).decode()
    return (
        f'--{boundary}\nContent-Type: application/pdf; name="{name}.pdf"\nContent-Transfer-Encoding: base64\n'
        f'Content-Disposition: attachment; filename="{name}.pdf"\n\n{content}'
    )
