"""Automatic mail is recognised by what programs write; nothing that a person writes looks like it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.processing import process

if TYPE_CHECKING:
    from ingest.domain.mail import Automatic

DELIVERY_STATUS = """\
Reporting-MTA: dns; mx.shop.example

Original-Recipient: rfc822;nobody@shop.example
Final-Recipient: rfc822;alias@inner.shop.example
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 <nobody@shop.example>: Recipient address rejected

Final-Recipient: rfc822;ann@shop.example
Action: delivered
Status: 2.1.5
"""


def read(text: str) -> Automatic | None:
    return process(text.replace("\n", "\r\n").encode()).manifest.automatic


def report(kind: str, body: str, original: str = "Message-ID: <sent@example.org>\nSubject: s\n") -> str:
    return (
        "From: Mail Delivery System <MAILER-DAEMON@mx.shop.example>\nTo: ann@example.org\nSubject: Report\n"
        f'Content-Type: multipart/report; report-type={kind}; boundary="b"\n\n'
        f"--b\n\nThis is a report.\n--b\nContent-Type: message/{kind}\n\n{body}\n"
        f"--b\nContent-Type: text/rfc822-headers\n\n{original}\n--b--\n"
    )


def test_delivery_status_is_a_bounce_of_the_recipient_that_failed() -> None:
    found = read(report("delivery-status", DELIVERY_STATUS))
    assert found is not None
    assert found.model_dump(exclude={"recipients"}) == {
        "kind": "bounce",
        "reasons": ["delivery_status"],
        "recipient": "nobody@shop.example",
        "status": "5.1.1",
        "original_message_id": "<sent@example.org>",
    }
    assert [(each.address, each.action, each.status) for each in found.recipients] == [
        ("nobody@shop.example", "failed", "5.1.1"),
        ("ann@shop.example", "delivered", "2.1.5"),
    ]
    assert found.recipients[0].diagnostic == "550 5.1.1 <nobody@shop.example>: Recipient address rejected"


@pytest.mark.parametrize(
    ("action", "kind"),
    [("delayed", "delay"), ("delivered", "receipt"), ("relayed", "receipt"), ("Failed (bounced)", "bounce")],
)
def test_action_of_a_delivery_status_decides(action: str, kind: str) -> None:
    body = f"Reporting-MTA: dns; a\n\nFinal-Recipient: rfc822;x@shop.example\nAction: {action}\nStatus: 4.4.1\n"
    found = read(report("delivery-status", body))
    assert found is not None
    assert found.kind == kind


def test_delivery_status_that_cannot_be_read_is_a_bounce() -> None:
    found = read(report("delivery-status", "\x00\n\n\n:::\n", original=""))
    assert found is not None
    assert (found.kind, found.recipients, found.original_message_id) == ("bounce", [], None)


def test_disposition_is_a_receipt_with_the_original_id() -> None:
    body = (
        "Reporting-UA: pc.shop.example; Outlook\nFinal-Recipient: rfc822;ann@shop.example\n"
        "Original-Message-ID: <asked@example.org>\nDisposition: manual-action/MDN-sent-manually; displayed\n"
    )
    found = read(report("disposition-notification", body))
    assert found is not None
    assert (found.kind, found.recipient, found.original_message_id) == (
        "receipt",
        "ann@shop.example",
        "<asked@example.org>",
    )
    assert found.recipients[0].action == "displayed"


def test_feedback_report_is_a_complaint() -> None:
    found = read(report("feedback-report", "Feedback-Type: abuse\nUser-Agent: SomeGenerator/1.0\nVersion: 1\n"))
    assert found is not None
    assert (found.kind, found.reasons) == ("complaint", ["feedback"])


def test_report_inside_a_forwarded_message_is_not_this_message() -> None:
    inner = report("delivery-status", DELIVERY_STATUS)
    text = (
        "From: ann@example.org\nSubject: Fwd: Report\nMIME-Version: 1.0\n"
        'Content-Type: multipart/mixed; boundary="o"\n\n--o\n\nSee below.\n'
        f"--o\nContent-Type: message/rfc822\n\n{inner}\n--o--\n"
    )
    assert read(text) is None


TEXTS = {
    "qmail": (
        (
            "Hi. This is the qmail-send program at mx.shop.example.\nI'm afraid I wasn't able to deliver.\n\n"
            "<nobody@shop.example>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n"
            "--- Below this line is a copy of the message.\n\nMessage-ID: <sent@example.org>\nSubject: s\n"
        ),
        ("bounce", "nobody@shop.example", "5.1.1", "<sent@example.org>"),
    ),
    "domino": (
        (
            "Your message\n\n  Subject: s\n\nwas not delivered to:\n\n  nobody@shop.example\n\nbecause:\n\n"
            "  550 5.1.1 User unknown\n"
        ),
        ("bounce", "nobody@shop.example", "5.1.1", None),
    ),
    "t-online": (
        (
            "|--------- Failed addresses follow: ---------|\n <nobody@shop.example> ... 550 5.1.1 user unknown\n"
            "|--------- Message text follows: ---------|\nMessage-ID: <sent@example.org>\n"
        ),
        ("bounce", "nobody@shop.example", "5.1.1", "<sent@example.org>"),
    ),
    "exchange, in French": (
        "Échec de la remise à ces destinataires ou groupes :\n\nnobody@shop.example\n",
        ("bounce", "nobody@shop.example", None, None),
    ),
    "kerio": (
        "Your message could not be delivered to the following recipient:\n<nobody@shop.example>\n550 5.1.1 unknown\n",
        ("bounce", "nobody@shop.example", "5.1.1", None),
    ),
    "exim, late": (
        (
            "A message that you have sent could not be delivered to all of its recipients yet.\n"
            "The address to which the message has not yet been delivered is:\n\n  nobody@shop.example\n"
        ),
        ("delay", "nobody@shop.example", None, None),
    ),
    "sendmail": (
        (
            "  **********************************************\n"
            "  **      THIS IS A WARNING MESSAGE ONLY      **\n"
            "  **  YOU DO NOT NEED TO RESEND YOUR MESSAGE  **\n"
            "  **********************************************\n\n"
            "   ----- The following addresses had transient non-fatal errors -----\n<nobody@shop.example>\n"
        ),
        ("delay", "nobody@shop.example", None, None),
    ),
    "exchange": (
        (
            "Delivery has failed to these recipients or groups:\n\nnobody@shop.example (nobody@shop.example)\n"
            "The address could not be found. #550 5.1.10 RESOLVER.ADR.RecipientNotFound ##\n"
        ),
        ("bounce", "nobody@shop.example", "5.1.10", None),
    ),
}


@pytest.mark.parametrize("server", TEXTS)
def test_bounce_in_plain_text_is_recognised_by_its_first_words(server: str) -> None:
    text, expected = TEXTS[server]
    found = read(
        f"Return-Path: <>\nFrom: postmaster@mx.shop.example\nTo: ann@example.org\nSubject: failure\n\n{text}"
    )
    assert found is not None
    assert (found.kind, found.recipient, found.status, found.original_message_id) == expected
    assert found.reasons == ["bounce_text"]


def test_exim_names_the_recipients_that_failed() -> None:
    found = read("From: daemon@mx\nX-Failed-Recipients: a@shop.example, b@shop.example\nSubject: failed\n\nx\n")
    assert found is not None
    assert [each.address for each in found.recipients] == ["a@shop.example", "b@shop.example"]
    assert found.reasons == ["x_failed_recipients"]


def test_person_who_quotes_a_bounce_wrote_it_all_the_same() -> None:
    text = TEXTS["qmail"][0]
    assert read(f"Return-Path: <ann@example.org>\nFrom: ann@example.org\nSubject: what is this?\n\n{text}") is None


@pytest.mark.parametrize(
    ("fields", "kind", "reasons"),
    [
        ("Auto-Submitted: auto-replied (vacation)", "vacation", ["auto_submitted"]),
        ("Auto-Submitted: auto-replied\nSubject: Abwesenheitsnotiz: Rechnung", "vacation",
         ["auto_submitted", "absence_subject"]),
        ("X-Auto-Response-Suppress: All\nSubject: Réponse automatique : facture", "vacation", ["absence_subject"]),
        ("Return-Path: <>\nSubject: Automatic reply: invoice", "vacation", ["absence_subject"]),
        ("X-Autogenerated: Reply\nSubject: AutoReply: invoice", "vacation", ["absence_subject"]),
        ("Mailing-List: contact a@b.example; run by ezmlm\nPrecedence: bulk", "list", ["list_field", "precedence"]),
        ("X-Autoreply: yes", "vacation", ["responder_field"]),
        ("Auto-Submitted: auto-replied\nSubject: [#4711] Ticket opened", "reply", ["auto_submitted"]),
        ("List-Id: <announce.example.org>\nPrecedence: list", "list", ["list_field", "precedence"]),
        ("List-Unsubscribe: <https://shop.example/u>", "bulk", ["bulk_field"]),
        ("Precedence: bulk", "bulk", ["precedence"]),
        ("Auto-Submitted: auto-generated", "notification", ["auto_submitted"]),
        ("X-Ricevuta: avvenuta-consegna", "receipt", ["certified_receipt"]),
        ("X-Ricevuta: Errore-Consegna", "bounce", ["certified_receipt"]),
        ("X-Ricevuta: preavviso-errore-consegna", "delay", ["certified_receipt"]),
    ],
)  # fmt: skip
def test_fields_of_programs_tell_the_kind(fields: str, kind: str, reasons: list[str]) -> None:
    found = read(f"From: a@shop.example\n{fields}\n\nx\n")
    assert found is not None
    assert (found.kind, found.reasons) == (kind, reasons)


def test_receipt_of_certified_mail_names_its_message_and_the_carrier_of_one_is_none() -> None:
    found = read("From: a@pec.example\nX-Ricevuta: accettazione\nX-Riferimento-Message-ID: <o@pec.example>\n\nx\n")
    assert found is not None
    assert found.original_message_id == "<o@pec.example>"
    assert read("From: a@pec.example\nX-Trasporto: posta-certificata\n\nx\n") is None


@pytest.mark.parametrize(
    "fields",
    ["Subject: Automatic reply: is broken", "Auto-Submitted: no", "X-Auto-Response-Suppress: OOF", "Subject: s"],
)
def test_mail_of_a_person_is_not_automatic(fields: str) -> None:
    assert read(f"From: a@shop.example\n{fields}\n\nx\n") is None
