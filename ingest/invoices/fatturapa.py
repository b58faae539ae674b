"""Italy's FatturaPA, ordinary and simplified."""

from __future__ import annotations

from dataclasses import replace

from ingest.invoices.rules import XmlFormat, parties

_FATTURA_BODY = "FatturaElettronicaBody"

FATTURAPA = XmlFormat(
    "fatturapa",
    "FatturaPA 1.2.2, www.fatturapa.gov.it, Schema_del_file_xml_FatturaPA",
    {"FatturaElettronica": _FATTURA_BODY},
    r"http://(?:ivaservizi\.agenziaentrate\.gov\.it/docs/xsd/fatture|www\.fatturapa\.gov\.it/sdi/fatturapa)/v1\.[0-9]",
    {
        "guideline": "/@versione",
        "profile": "/@versione",
        "number": "DatiGenerali/DatiGeneraliDocumento/Numero",
        "issue_date": "DatiGenerali/DatiGeneraliDocumento/Data",
        "due_date": "DatiPagamento/DettaglioPagamento/DataScadenzaPagamento",
        "kind": "DatiGenerali/DatiGeneraliDocumento/TipoDocumento",
        "currency": "DatiGenerali/DatiGeneraliDocumento/Divisa",
        "net": "DatiBeniServizi/DatiRiepilogo/ImponibileImporto!",
        "tax": "DatiBeniServizi/DatiRiepilogo/Imposta!",
        "gross": "DatiGenerali/DatiGeneraliDocumento/ImportoTotaleDocumento",
        "payable": "DatiPagamento/DettaglioPagamento/ImportoPagamento!",
        **parties(
            {"seller": "CedentePrestatore", "buyer": "CessionarioCommittente"},
            {
                "name": (
                    "/FatturaElettronicaHeader/{}/DatiAnagrafici/Anagrafica/Denominazione",
                    "/FatturaElettronicaHeader/{}/DatiAnagrafici/Anagrafica/Cognome",
                ),
                "vat_id": "/FatturaElettronicaHeader/{}/DatiAnagrafici/IdFiscaleIVA/IdCodice",
                "country": "/FatturaElettronicaHeader/{}/Sede/Nazione",
            },
        ),
        "order_reference": "DatiGenerali/DatiOrdineAcquisto/IdDocumento",
        "payment_reference": "DatiPagamento/DettaglioPagamento/CodicePagamento",
        "iban": "DatiPagamento/DettaglioPagamento/IBAN",
    },
    kind={"FatturaElettronica": "invoice"},
    kinds={
        "TD01": "invoice",
        "TD02": "prepayment_invoice",
        "TD03": "prepayment_invoice",
        "TD04": "credit_note",
        "TD05": "debit_note",
        "TD06": "invoice",
        "TD16": "self_billed_invoice",
        "TD17": "self_billed_invoice",
        "TD18": "self_billed_invoice",
        "TD19": "self_billed_invoice",
        "TD20": "self_billed_invoice",
        "TD21": "self_billed_invoice",
        "TD24": "invoice",
        "TD25": "invoice",
        "TD26": "invoice",
        "TD27": "self_billed_invoice",
        "TD28": "self_billed_invoice",
        "TD29": "self_billed_invoice",
    },
    versions=r"F(?:PA|PR|SM)[0-9]{2}|[0-9]\.[0-9]",
)
FATTURAPA_NEAR = replace(FATTURAPA, namespace=".*", likely=True)

FATTURAPA_SIMPLE = replace(
    FATTURAPA,
    source="FatturaPA semplificata 1.0.2, www.fatturapa.gov.it",
    roots={"FatturaElettronicaSemplificata": _FATTURA_BODY},
    paths={
        "guideline": "/@versione",
        "profile": "/@versione",
        "number": "DatiGenerali/DatiGeneraliDocumento/Numero",
        "issue_date": "DatiGenerali/DatiGeneraliDocumento/Data",
        "kind": "DatiGenerali/DatiGeneraliDocumento/TipoDocumento",
        "currency": "DatiGenerali/DatiGeneraliDocumento/Divisa",
        "tax": "DatiBeniServizi/DatiIVA/Imposta!",
        "gross": "DatiBeniServizi/Importo!",
        "seller.name": "/FatturaElettronicaHeader/CedentePrestatore/Denominazione",
        "seller.vat_id": "/FatturaElettronicaHeader/CedentePrestatore/IdFiscaleIVA/IdCodice",
        "seller.country": "/FatturaElettronicaHeader/CedentePrestatore/Sede/Nazione",
        "buyer.name": "/FatturaElettronicaHeader/CessionarioCommittente/AltriDatiIdentificativi/Denominazione",
        "buyer.vat_id": "/FatturaElettronicaHeader/CessionarioCommittente/IdentificativiFiscali/IdFiscaleIVA"
        "/IdCodice",
        "buyer.country": "/FatturaElettronicaHeader/CessionarioCommittente/AltriDatiIdentificativi/Sede/Nazione",
    },
    kind={"FatturaElettronicaSemplificata": "invoice"},
    kinds={"TD07": "invoice", "TD08": "credit_note", "TD09": "debit_note"},
)
FATTURAPA_SIMPLE_NEAR = replace(FATTURAPA_SIMPLE, namespace=".*", likely=True)
