"""One small invoice of each format, all of the same deal, and what each says differently."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

BASE: dict[str, Any] = {
    "number": "R-17",
    "issue_date": "2026-03-02",
    "due_date": "2026-03-30",
    "kind": "invoice",
    "currency": "EUR",
    "net": "100.00",
    "tax": "19.00",
    "gross": "119.00",
    "payable": "109.00",
    "seller": {"name": "Seller & Co", "vat_id": "DE123456789", "country": "DE"},
    "buyer": {"name": "Buyer AG", "vat_id": "AT98765432", "country": "AT"},
    "order_reference": "PO-4",
    "payment_reference": "RF18-17",
    "iban": "DE02120300000000202051",
}
UBL = "urn:oasis:names:specification:ubl:schema:xsd:"


class Sample(NamedTuple):
    """A document, and what is to be found in it; `differs` overrides `BASE`, null for what it does not say."""

    name: str
    format: str
    profile: str
    content: str
    differs: Mapping[str, Any] = MappingProxyType({})
    invoices: int = 1


def _ubl_party(role: str, name: str, vat: str, country: str) -> str:
    return (
        f"<cac:Accounting{role}Party><cac:Party><cac:PartyName><cbc:Name>a brand</cbc:Name></cac:PartyName>"
        f"<cac:PostalAddress><cac:Country><cbc:IdentificationCode>{country}</cbc:IdentificationCode></cac:Country>"
        "</cac:PostalAddress><cac:PartyTaxScheme><cbc:CompanyID>201/113/40209</cbc:CompanyID><cac:TaxScheme><cbc:ID>FC"
        f"</cbc:ID></cac:TaxScheme></cac:PartyTaxScheme><cac:PartyTaxScheme><cbc:CompanyID>{vat}</cbc:CompanyID>"
        "<cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme></cac:PartyTaxScheme><cac:PartyLegalEntity>"
        f"<cbc:RegistrationName>{name}</cbc:RegistrationName></cac:PartyLegalEntity></cac:Party>"
        f"</cac:Accounting{role}Party>"
    )


def ubl(root: str = "Invoice", customization: str = "urn:cen.eu:en16931:2017", code: str = "380") -> str:
    """A UBL document, with totals in two currencies."""
    type_code = f"<cbc:InvoiceTypeCode>{code}</cbc:InvoiceTypeCode>" if root == "Invoice" else ""
    due = "<cbc:DueDate>2026-03-30</cbc:DueDate>" if root == "Invoice" else ""
    payment_due = "" if due else "<cbc:PaymentDueDate>2026-03-30</cbc:PaymentDueDate>"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><{root} xmlns="{UBL}{root}-2" '
        f'xmlns:cbc="{UBL}CommonBasicComponents-2" xmlns:cac="{UBL}CommonAggregateComponents-2">'
        f"<cbc:CustomizationID>{customization}</cbc:CustomizationID><cbc:ID>R-17</cbc:ID>"
        f"<cbc:IssueDate>2026-03-02</cbc:IssueDate>{due}{type_code}"
        "<cbc:DocumentCurrencyCode>EUR</cbc:DocumentCurrencyCode><cbc:TaxCurrencyCode>SEK</cbc:TaxCurrencyCode>"
        "<cac:OrderReference><cbc:ID>PO-4</cbc:ID></cac:OrderReference>"
        f"{_ubl_party('Supplier', 'Seller &amp; Co', 'DE123456789', 'DE')}"
        f"{_ubl_party('Customer', 'Buyer AG', 'AT98765432', 'AT')}"
        f"<cac:PaymentMeans>{payment_due}<cbc:PaymentID>RF18-17</cbc:PaymentID><cac:PayeeFinancialAccount>"
        "<cbc:ID>DE02 1203 0000 0000 2020 51</cbc:ID></cac:PayeeFinancialAccount></cac:PaymentMeans>"
        '<cac:TaxTotal><cbc:TaxAmount currencyID="SEK">212.00</cbc:TaxAmount></cac:TaxTotal>'
        '<cac:TaxTotal><cbc:TaxAmount currencyID="EUR">19.00</cbc:TaxAmount><cac:TaxSubtotal>'
        '<cbc:TaxAmount currencyID="EUR">7.00</cbc:TaxAmount></cac:TaxSubtotal></cac:TaxTotal>'
        '<cac:LegalMonetaryTotal><cbc:LineExtensionAmount currencyID="EUR">101.00</cbc:LineExtensionAmount>'
        '<cbc:TaxExclusiveAmount currencyID="EUR">100.00</cbc:TaxExclusiveAmount>'
        '<cbc:TaxInclusiveAmount currencyID="EUR">119.00</cbc:TaxInclusiveAmount>'
        '<cbc:PayableAmount currencyID="EUR">109.00</cbc:PayableAmount></cac:LegalMonetaryTotal>'
        f"<cac:InvoiceLine><cbc:ID>1</cbc:ID></cac:InvoiceLine></{root}>"
    )


def _cii(root: str, namespace: str, guideline: str, names: tuple[str, str, str], code: str = "380") -> str:
    document, transaction, prefix = names
    context = "Specified" if prefix == "SupplyChain" else ""
    return (
        f'<a:{root} xmlns:a="{namespace}" xmlns:r="r" xmlns:u="u"><a:{context}ExchangedDocumentContext>'
        f"<r:GuidelineSpecifiedDocumentContextParameter><r:ID>{guideline}</r:ID>"
        f"</r:GuidelineSpecifiedDocumentContextParameter></a:{context}ExchangedDocumentContext><a:{document}>"
        f"<r:ID>R-17</r:ID><r:TypeCode>{code}</r:TypeCode><r:IssueDateTime>"
        '<u:DateTimeString format="102">20260302</u:DateTimeString></r:IssueDateTime>'
        f"</a:{document}><a:{transaction}><r:IncludedSupplyChainTradeLineItem><r:ID>x</r:ID>"
        f"</r:IncludedSupplyChainTradeLineItem><r:Applicable{prefix}TradeAgreement>"
        "<r:SellerTradeParty><r:Name>Seller &amp; Co</r:Name><r:PostalTradeAddress><r:CountryID>DE</r:CountryID>"
        '</r:PostalTradeAddress><r:SpecifiedTaxRegistration><r:ID schemeID="FC">201</r:ID></r:SpecifiedTaxRegistration>'
        '<r:SpecifiedTaxRegistration><r:ID schemeID="VA">DE123456789</r:ID></r:SpecifiedTaxRegistration>'
        "</r:SellerTradeParty><r:BuyerTradeParty><r:Name>Buyer AG</r:Name><r:PostalTradeAddress>"
        "<r:CountryID>AT</r:CountryID></r:PostalTradeAddress><r:SpecifiedTaxRegistration>"
        '<r:ID schemeID="VA">AT98765432</r:ID></r:SpecifiedTaxRegistration></r:BuyerTradeParty>'
        "<r:BuyerOrderReferencedDocument><r:IssuerAssignedID>PO-4</r:IssuerAssignedID></r:BuyerOrderReferencedDocument>"
        f"</r:Applicable{prefix}TradeAgreement><r:Applicable{prefix}TradeSettlement>"
        "<r:PaymentReference>RF18-17</r:PaymentReference><r:InvoiceCurrencyCode>EUR</r:InvoiceCurrencyCode>"
        "<r:SpecifiedTradeSettlementPaymentMeans><r:PayeePartyCreditorFinancialAccount>"
        "<r:IBANID>DE02120300000000202051</r:IBANID></r:PayeePartyCreditorFinancialAccount>"
        "</r:SpecifiedTradeSettlementPaymentMeans><r:SpecifiedTradePaymentTerms><r:DueDateDateTime>"
        '<u:DateTimeString format="102">20260330</u:DateTimeString></r:DueDateDateTime></r:SpecifiedTradePaymentTerms>'
        "<r:SpecifiedTradeSettlementHeaderMonetarySummation><r:TaxBasisTotalAmount>100.00</r:TaxBasisTotalAmount>"
        '<r:TaxTotalAmount currencyID="SEK">212.00</r:TaxTotalAmount>'
        '<r:TaxTotalAmount currencyID="EUR">19.00</r:TaxTotalAmount>'
        "<r:GrandTotalAmount>119.00</r:GrandTotalAmount><r:DuePayableAmount>109.00</r:DuePayableAmount>"
        f"</r:SpecifiedTradeSettlementHeaderMonetarySummation></r:Applicable{prefix}TradeSettlement></a:{transaction}>"
        f"</a:{root}>"
    )


_CROSS = ("ExchangedDocument", "SupplyChainTradeTransaction", "Header")
_CROSS_1 = ("HeaderExchangedDocument", "SpecifiedSupplyChainTradeTransaction", "SupplyChain")
CREDIT = {"kind": "credit_note"}

FATTURA_BODY = """<FatturaElettronicaBody><DatiGenerali><DatiGeneraliDocumento>
<TipoDocumento>TD01</TipoDocumento><Divisa>EUR</Divisa><Data>2026-03-02</Data><Numero>R-17</Numero>
<ImportoTotaleDocumento>119.00</ImportoTotaleDocumento></DatiGeneraliDocumento>
<DatiOrdineAcquisto><IdDocumento>PO-4</IdDocumento></DatiOrdineAcquisto></DatiGenerali>
<DatiBeniServizi><DatiRiepilogo><ImponibileImporto>100.00</ImponibileImporto><Imposta>19.00</Imposta></DatiRiepilogo>
</DatiBeniServizi><DatiPagamento><DettaglioPagamento><DataScadenzaPagamento>2026-03-30</DataScadenzaPagamento>
<ImportoPagamento>109.00</ImportoPagamento><IBAN>DE02120300000000202051</IBAN>
<CodicePagamento>RF18-17</CodicePagamento></DettaglioPagamento></DatiPagamento></FatturaElettronicaBody>"""


def fattura(bodies: str) -> str:
    """A FatturaPA with the given bodies."""
    parties = "".join(
        f"<{role}><DatiAnagrafici><IdFiscaleIVA><IdPaese>{country}</IdPaese><IdCodice>{vat}</IdCodice></IdFiscaleIVA>"
        f"<Anagrafica><Denominazione>{name}</Denominazione></Anagrafica></DatiAnagrafici>"
        f"<Sede><Nazione>{country}</Nazione></Sede></{role}>"
        for role, name, vat, country in (
            ("CedentePrestatore", "Seller &amp; Co", "DE123456789", "DE"),
            ("CessionarioCommittente", "Buyer AG", "AT98765432", "AT"),
        )
    )
    return (
        '<p:FatturaElettronica versione="FPR12" '
        'xmlns:p="http://ivaservizi.agenziaentrate.gov.it/docs/xsd/fatture/v1.2">'
        f"<FatturaElettronicaHeader>{parties}</FatturaElettronicaHeader>{bodies}</p:FatturaElettronica>"
    )


_EUROPE = (
    Sample("fatturapa", "fatturapa", "FPR12", fattura(FATTURA_BODY)),
    Sample(
        "fatturapa of two",
        "fatturapa",
        "FPR12",
        fattura(FATTURA_BODY + FATTURA_BODY.replace("R-17", "R-18")),
        invoices=2,
    ),
    Sample(
        "fatturapa with two rates",
        "fatturapa",
        "FPR12",
        fattura(
            FATTURA_BODY.replace(
                "</DatiRiepilogo>",
                "</DatiRiepilogo><DatiRiepilogo><ImponibileImporto>100.00</ImponibileImporto><Imposta>0.00</Imposta>"
                "</DatiRiepilogo>",
            )
        ),
        {"net": None, "tax": None},
    ),
    Sample(
        "facturae",
        "facturae",
        "3.2.2",
        """<fe:Facturae xmlns:fe="http://www.facturae.gob.es/formato/Versiones/Facturaev3_2_2.xml"
xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><FileHeader><SchemaVersion>3.2.2</SchemaVersion><Batch>
<InvoicesCount>2</InvoicesCount><InvoiceCurrencyCode>EUR</InvoiceCurrencyCode></Batch></FileHeader><Parties>
<SellerParty><TaxIdentification><TaxIdentificationNumber>DE123456789</TaxIdentificationNumber></TaxIdentification>
<LegalEntity><CorporateName>Seller &amp; Co</CorporateName><OverseasAddress><CountryCode>DEU</CountryCode>
</OverseasAddress></LegalEntity></SellerParty><BuyerParty><TaxIdentification>
<TaxIdentificationNumber>AT98765432</TaxIdentificationNumber></TaxIdentification><LegalEntity>
<CorporateName>Buyer AG</CorporateName><OverseasAddress><CountryCode>AUT</CountryCode></OverseasAddress></LegalEntity>
</BuyerParty></Parties><Invoices><Invoice><InvoiceHeader><InvoiceNumber>R-17</InvoiceNumber>
<InvoiceDocumentType>FC</InvoiceDocumentType><InvoiceClass>OO</InvoiceClass></InvoiceHeader><InvoiceIssueData>
<IssueDate>2026-03-02</IssueDate><InvoiceCurrencyCode>EUR</InvoiceCurrencyCode></InvoiceIssueData><InvoiceTotals>
<TotalGrossAmount>101.00</TotalGrossAmount><TotalGrossAmountBeforeTaxes>100.00</TotalGrossAmountBeforeTaxes>
<TotalTaxOutputs>19.00</TotalTaxOutputs><InvoiceTotal>119.00</InvoiceTotal>
<TotalOutstandingAmount>119.00</TotalOutstandingAmount><TotalExecutableAmount>109.00</TotalExecutableAmount>
</InvoiceTotals><Items><InvoiceLine><ReceiverTransactionReference>PO-4</ReceiverTransactionReference></InvoiceLine>
</Items><PaymentDetails><Installment><InstallmentDueDate>2026-03-30</InstallmentDueDate><AccountToBeCredited>
<IBAN>DE02120300000000202051</IBAN></AccountToBeCredited>
<PaymentReconciliationReference>RF18-17</PaymentReconciliationReference></Installment></PaymentDetails></Invoice>
<Invoice><InvoiceHeader><InvoiceNumber>R-18</InvoiceNumber></InvoiceHeader></Invoice></Invoices>
<ds:Signature/></fe:Facturae>""",
        {
            "seller": BASE["seller"] | {"country": "DEU"},
            "buyer": BASE["buyer"] | {"country": "AUT"},
        },
        invoices=2,
    ),
    Sample(
        "ebinterface 6.1",
        "ebinterface",
        "6.1",
        """<Invoice xmlns="http://www.ebinterface.at/schema/6p1/" GeneratingSystem="x" DocumentType="CreditMemo"
InvoiceCurrency="EUR"><InvoiceNumber>R-17</InvoiceNumber><InvoiceDate>2026-03-02</InvoiceDate><Biller>
<VATIdentificationNumber>DE123456789</VATIdentificationNumber><Address><Name>Seller &amp; Co</Name>
<Country CountryCode="DE">Germany</Country></Address></Biller><InvoiceRecipient>
<VATIdentificationNumber>AT98765432</VATIdentificationNumber><OrderReference><OrderID>PO-4</OrderID></OrderReference>
<Address><Name>Buyer AG</Name><Country CountryCode="AT">Austria</Country></Address></InvoiceRecipient><Tax><TaxItem>
<TaxableAmount>100.00</TaxableAmount><TaxPercent>19</TaxPercent><TaxAmount>19.00</TaxAmount></TaxItem></Tax>
<TotalGrossAmount>119.00</TotalGrossAmount><PayableAmount>109.00</PayableAmount><PaymentMethod>
<UniversalBankTransaction><BeneficiaryAccount><IBAN>DE02120300000000202051</IBAN></BeneficiaryAccount>
<PaymentReference>RF18-17</PaymentReference></UniversalBankTransaction></PaymentMethod><PaymentConditions>
<DueDate>2026-03-30</DueDate></PaymentConditions></Invoice>""",
        CREDIT,
    ),
    Sample(
        "ebinterface 4.2, whose attributes are qualified",
        "ebinterface",
        "4.2",
        """<eb:Invoice xmlns:eb="http://www.ebinterface.at/schema/4p2/" eb:DocumentType="Invoice" eb:InvoiceCurrency="EUR">
<eb:InvoiceNumber>R-17</eb:InvoiceNumber><eb:InvoiceDate>2026-03-02</eb:InvoiceDate><eb:Tax><eb:VAT><eb:VATItem>
<eb:TaxedAmount>100.00</eb:TaxedAmount><eb:Amount>19.00</eb:Amount></eb:VATItem></eb:VAT></eb:Tax>
<eb:TotalGrossAmount>119.00</eb:TotalGrossAmount></eb:Invoice>""",
        {
            "due_date": None,
            "payable": None,
            "seller": None,
            "buyer": None,
            "order_reference": None,
            "payment_reference": None,
            "iban": None,
        },
    ),
    Sample(
        "isdoc",
        "isdoc",
        "6.0.2",
        """<Invoice xmlns="http://isdoc.cz/namespace/2013" version="6.0.2"><DocumentType>1</DocumentType><ID>R-17</ID>
<IssueDate>2026-03-02</IssueDate><LocalCurrencyCode>CZK</LocalCurrencyCode><ForeignCurrencyCode>EUR</ForeignCurrencyCode>
<AccountingSupplierParty><Party><PartyName><Name>Seller &amp; Co</Name></PartyName><PostalAddress><Country>
<IdentificationCode>DE</IdentificationCode></Country></PostalAddress><PartyTaxScheme><CompanyID>DE123456789</CompanyID>
<TaxScheme>VAT</TaxScheme></PartyTaxScheme></Party></AccountingSupplierParty><AccountingCustomerParty><Party><PartyName>
<Name>Buyer AG</Name></PartyName><PostalAddress><Country><IdentificationCode>AT</IdentificationCode></Country>
</PostalAddress><PartyTaxScheme><CompanyID>AT98765432</CompanyID><TaxScheme>VAT</TaxScheme></PartyTaxScheme></Party>
</AccountingCustomerParty><OrderReferences><OrderReference><SalesOrderID>S-1</SalesOrderID>
<ExternalOrderID>PO-4</ExternalOrderID></OrderReference></OrderReferences><TaxTotal><TaxAmountCurr>19.00</TaxAmountCurr>
<TaxAmount>475.00</TaxAmount></TaxTotal><LegalMonetaryTotal><TaxExclusiveAmount>2500.00</TaxExclusiveAmount>
<TaxExclusiveAmountCurr>100.00</TaxExclusiveAmountCurr><TaxInclusiveAmount>2975.00</TaxInclusiveAmount>
<TaxInclusiveAmountCurr>119.00</TaxInclusiveAmountCurr><PayableAmount>2725.00</PayableAmount>
<PayableAmountCurr>109.00</PayableAmountCurr></LegalMonetaryTotal><PaymentMeans><Payment><Details>
<PaymentDueDate>2026-03-30</PaymentDueDate><IBAN>DE02120300000000202051</IBAN><VariableSymbol>RF18-17</VariableSymbol>
</Details></Payment></PaymentMeans></Invoice>""",
    ),
    Sample(
        "ksef",
        "ksef",
        "FA(3)",
        """<Faktura xmlns="http://crd.gov.pl/wzor/2025/06/25/13775/"><Naglowek>
<KodFormularza kodSystemowy="FA (3)" wersjaSchemy="1-0E">FA</KodFormularza><WariantFormularza>3</WariantFormularza>
</Naglowek><Podmiot1><DaneIdentyfikacyjne><NIP>DE123456789</NIP><Nazwa>Seller &amp; Co</Nazwa></DaneIdentyfikacyjne>
<Adres><KodKraju>DE</KodKraju></Adres></Podmiot1><Podmiot2><DaneIdentyfikacyjne><NrVatUE>AT98765432</NrVatUE>
<Nazwa>Buyer AG</Nazwa></DaneIdentyfikacyjne><Adres><KodKraju>AT</KodKraju></Adres></Podmiot2><Fa>
<KodWaluty>EUR</KodWaluty><P_1>2026-03-02</P_1><P_2>R-17</P_2><P_13_1>100.00</P_13_1><P_14_1>19.00</P_14_1>
<P_15>119.00</P_15><RodzajFaktury>VAT</RodzajFaktury><Rozliczenie><DoZaplaty>109.00</DoZaplaty></Rozliczenie><Platnosc>
<TerminPlatnosci><Termin>2026-03-30</Termin></TerminPlatnosci><RachunekBankowy><NrRB>DE02120300000000202051</NrRB>
</RachunekBankowy></Platnosc><WarunkiTransakcji><Zamowienia><NrZamowienia>PO-4</NrZamowienia></Zamowienia>
</WarunkiTransakcji></Fa></Faktura>""",
        {"payment_reference": None},
    ),
    Sample(
        "ksef, self-billed, with two rates",
        "ksef",
        "FA(2)",
        """<Faktura xmlns="http://crd.gov.pl/wzor/2023/06/29/12648/"><Naglowek><KodFormularza kodSystemowy="FA (2)"/></Naglowek>
<Fa><P_2>R-17</P_2><P_13_1>60.00</P_13_1><P_14_1>13.80</P_14_1><P_13_2>40.00</P_13_2><P_14_2>3.20</P_14_2><Adnotacje><P_16>2</P_16><P_17>1</P_17></Adnotacje><RodzajFaktury>VAT</RodzajFaktury></Fa></Faktura>""",
        dict.fromkeys(BASE) | {"number": "R-17", "kind": "self_billed_invoice"},
    ),
    Sample(
        "nav",
        "nav",
        "3.0",
        """<InvoiceData xmlns="http://schemas.nav.gov.hu/OSA/3.0/data" xmlns:b="http://schemas.nav.gov.hu/OSA/3.0/base">
<invoiceNumber>R-17</invoiceNumber><invoiceIssueDate>2026-03-02</invoiceIssueDate><invoiceMain><invoice><invoiceHead>
<supplierInfo><supplierTaxNumber><b:taxpayerId>12345678</b:taxpayerId></supplierTaxNumber>
<communityVatNumber>DE123456789</communityVatNumber><supplierName>Seller &amp; Co</supplierName><supplierAddress>
<b:simpleAddress><b:countryCode>DE</b:countryCode></b:simpleAddress></supplierAddress>
<supplierBankAccountNumber>DE02120300000000202051</supplierBankAccountNumber></supplierInfo><customerInfo>
<customerVatData><communityVatNumber>AT98765432</communityVatNumber></customerVatData><customerName>Buyer AG</customerName>
<customerAddress><b:detailedAddress><b:countryCode>AT</b:countryCode></b:detailedAddress></customerAddress></customerInfo>
<invoiceDetail><invoiceCategory>NORMAL</invoiceCategory><currencyCode>EUR</currencyCode>
<paymentDate>2026-03-30</paymentDate><conventionalInvoiceInfo><orderNumbers><orderNumber>PO-4</orderNumber></orderNumbers>
</conventionalInvoiceInfo></invoiceDetail></invoiceHead><invoiceSummary><summaryNormal>
<invoiceNetAmount>100.00</invoiceNetAmount><invoiceVatAmount>19.00</invoiceVatAmount></summaryNormal><summaryGrossData>
<invoiceGrossAmount>119.00</invoiceGrossAmount></summaryGrossData></invoiceSummary></invoice></invoiceMain>
</InvoiceData>""",
        {"payable": None, "payment_reference": None},
    ),
    Sample(
        "nav, a batch of modifications",
        "nav",
        "3.0",
        """<InvoiceData xmlns="http://schemas.nav.gov.hu/OSA/3.0/data"><invoiceNumber>R-17</invoiceNumber>
<invoiceIssueDate>2026-03-02</invoiceIssueDate><invoiceMain><batchInvoice><batchIndex>1</batchIndex><invoice>
<invoiceReference><originalInvoiceNumber>R-1</originalInvoiceNumber></invoiceReference><invoiceSummary><summaryNormal>
<invoiceVatAmount>19.00</invoiceVatAmount></summaryNormal></invoiceSummary></invoice></batchInvoice><batchInvoice>
<invoice><invoiceSummary><summaryNormal><invoiceNetAmount>5</invoiceNetAmount></summaryNormal></invoiceSummary></invoice>
</batchInvoice></invoiceMain></InvoiceData>""",
        dict.fromkeys(BASE)
        | {key: BASE[key] for key in ("number", "issue_date", "tax")}
        | {"kind": "corrected_invoice"},
        invoices=2,
    ),
    Sample(
        "eslog 2.0",
        "eslog",
        "2.0",
        """<Invoice xmlns="urn:eslog:2.00"><M_INVOIC Id="data"><S_UNH><C_S009><D_0065>INVOIC</D_0065></C_S009></S_UNH>
<S_BGM><C_C002><D_1001>380</D_1001></C_C002><C_C106><D_1004>R-17</D_1004></C_C106></S_BGM>
<S_DTM><C_C507><D_2005>35</D_2005><D_2380>2026-03-01</D_2380></C_C507></S_DTM>
<S_DTM><C_C507><D_2005>137</D_2005><D_2380>2026-03-02</D_2380></C_C507></S_DTM>
<G_SG1><S_RFF><C_C506><D_1153>PQ</D_1153><D_1154>RF18-17</D_1154></C_C506></S_RFF></G_SG1>
<G_SG1><S_RFF><C_C506><D_1153>ON</D_1153><D_1154>PO-4</D_1154></C_C506></S_RFF></G_SG1>
<G_SG2><S_NAD><D_3035>BY</D_3035><C_C080><D_3036>Buyer AG</D_3036></C_C080><D_3207>AT</D_3207></S_NAD>
<G_SG3><S_RFF><C_C506><D_1153>VA</D_1153><D_1154>AT98765432</D_1154></C_C506></S_RFF></G_SG3></G_SG2>
<G_SG2><S_NAD><D_3035>SE</D_3035><C_C080><D_3036>Seller &amp; Co</D_3036></C_C080><D_3207>DE</D_3207></S_NAD>
<S_FII><D_3035>RB</D_3035><C_C078><D_3194>DE02120300000000202051</D_3194></C_C078></S_FII>
<G_SG3><S_RFF><C_C506><D_1153>VA</D_1153><D_1154>DE123456789</D_1154></C_C506></S_RFF></G_SG3></G_SG2>
<G_SG7><S_CUX><C_C504><D_6347>2</D_6347><D_6345>EUR</D_6345></C_C504></S_CUX></G_SG7>
<G_SG8><S_PAT/><S_DTM><C_C507><D_2005>13</D_2005><D_2380>2026-03-30</D_2380></C_C507></S_DTM></G_SG8>
<G_SG50><S_MOA><C_C516><D_5025>79</D_5025><D_5004>101.00</D_5004></C_C516></S_MOA></G_SG50>
<G_SG50><S_MOA><C_C516><D_5025>389</D_5025><D_5004>100.00</D_5004></C_C516></S_MOA></G_SG50>
<G_SG50><S_MOA><C_C516><D_5025>176</D_5025><D_5004>19.00</D_5004></C_C516></S_MOA></G_SG50>
<G_SG50><S_MOA><C_C516><D_5025>388</D_5025><D_5004>119.00</D_5004></C_C516></S_MOA></G_SG50>
<G_SG50><S_MOA><C_C516><D_5025>9</D_5025><D_5004>109.00</D_5004></C_C516></S_MOA></G_SG50></M_INVOIC></Invoice>""",
    ),
    Sample(
        "finvoice",
        "finvoice",
        "3.0",
        """<?xml version="1.0" encoding="ISO-8859-15"?><Finvoice Version="3.0"><SellerPartyDetails>
<SellerPartyIdentifier>1234567-8</SellerPartyIdentifier><SellerOrganisationName>Seller &amp; Co</SellerOrganisationName>
<SellerOrganisationTaxCode>DE123456789</SellerOrganisationTaxCode><SellerPostalAddressDetails><CountryCode>DE</CountryCode>
</SellerPostalAddressDetails></SellerPartyDetails><BuyerPartyDetails>
<BuyerOrganisationName>Buyer AG</BuyerOrganisationName><BuyerOrganisationTaxCode>AT98765432</BuyerOrganisationTaxCode>
<BuyerPostalAddressDetails><CountryCode>AT</CountryCode></BuyerPostalAddressDetails></BuyerPartyDetails><InvoiceDetails>
<InvoiceTypeCode>INV01</InvoiceTypeCode><InvoiceNumber>R-17</InvoiceNumber>
<InvoiceDate Format="CCYYMMDD">20260302</InvoiceDate><OrderIdentifier>PO-4</OrderIdentifier>
<InvoiceTotalVatExcludedAmount AmountCurrencyIdentifier="EUR">100,00</InvoiceTotalVatExcludedAmount>
<InvoiceTotalVatAmount AmountCurrencyIdentifier="EUR">19,00</InvoiceTotalVatAmount>
<InvoiceTotalVatIncludedAmount AmountCurrencyIdentifier="EUR">119,00</InvoiceTotalVatIncludedAmount>
<PaymentTermsDetails><InvoiceDueDate Format="CCYYMMDD">20260330</InvoiceDueDate></PaymentTermsDetails></InvoiceDetails>
<EpiDetails><EpiPartyDetails><EpiBeneficiaryPartyDetails>
<EpiAccountID IdentificationSchemeName="IBAN">DE02120300000000202051</EpiAccountID></EpiBeneficiaryPartyDetails>
</EpiPartyDetails><EpiPaymentInstructionDetails>
<EpiRemittanceInfoIdentifier IdentificationSchemeName="ISO">RF18-17</EpiRemittanceInfoIdentifier>
<EpiInstructedAmount AmountCurrencyIdentifier="EUR">109,00</EpiInstructedAmount></EpiPaymentInstructionDetails>
</EpiDetails></Finvoice>""",
    ),
    Sample(
        "svefaktura",
        "svefaktura",
        "1.0",
        """<Invoice xmlns="urn:sfti:documents:BasicInvoice:1:0" xmlns:cac="urn:sfti:CommonAggregateComponents:1:0"
xmlns:cbc="urn:oasis:names:tc:ubl:CommonBasicComponents:1:0"><ID>R-17</ID><cbc:IssueDate>2026-03-02</cbc:IssueDate>
<InvoiceTypeCode>380</InvoiceTypeCode><InvoiceCurrencyCode>EUR</InvoiceCurrencyCode><cac:BuyerParty><cac:Party>
<cac:PartyName><cbc:Name>Buyer AG</cbc:Name></cac:PartyName><cac:Address><cac:Country>
<cac:IdentificationCode>AT</cac:IdentificationCode></cac:Country></cac:Address><cac:PartyTaxScheme>
<cac:CompanyID>AT98765432</cac:CompanyID><cac:TaxScheme><cac:ID>VAT</cac:ID></cac:TaxScheme></cac:PartyTaxScheme>
</cac:Party></cac:BuyerParty><cac:SellerParty><cac:Party><cac:PartyName><cbc:Name>Seller &amp; Co</cbc:Name>
</cac:PartyName><cac:Address><cac:Country><cac:IdentificationCode>DE</cac:IdentificationCode></cac:Country></cac:Address>
<cac:PartyTaxScheme><cac:CompanyID>556677</cac:CompanyID><cac:TaxScheme><cac:ID>SWT</cac:ID></cac:TaxScheme>
</cac:PartyTaxScheme><cac:PartyTaxScheme><cac:CompanyID>DE123456789</cac:CompanyID><cac:TaxScheme><cac:ID>VAT</cac:ID>
</cac:TaxScheme></cac:PartyTaxScheme></cac:Party></cac:SellerParty><cac:PaymentMeans>
<cbc:DuePaymentDate>2026-03-30</cbc:DuePaymentDate><cac:PayeeFinancialAccount><cac:ID>DE02120300000000202051</cac:ID>
<cac:PaymentInstructionID>RF18-17</cac:PaymentInstructionID></cac:PayeeFinancialAccount></cac:PaymentMeans>
<cac:TaxTotal><cbc:TotalTaxAmount amountCurrencyID="EUR">19.00</cbc:TotalTaxAmount></cac:TaxTotal><cac:LegalTotal>
<cbc:LineExtensionTotalAmount>100.00</cbc:LineExtensionTotalAmount>
<cbc:TaxExclusiveTotalAmount>100.00</cbc:TaxExclusiveTotalAmount>
<cbc:TaxInclusiveTotalAmount>119.00</cbc:TaxInclusiveTotalAmount></cac:LegalTotal><cac:InvoiceLine>
<cac:OrderLineReference><cac:OrderReference><cac:BuyersID>PO-4</cac:BuyersID></cac:OrderReference>
</cac:OrderLineReference></cac:InvoiceLine></Invoice>""",
        {"payable": None},
    ),
)

SAMPLES: tuple[Sample, ...] = (
    Sample("ubl", "ubl", "en16931", ubl()),
    Sample("ubl credit note", "ubl", "en16931", ubl("CreditNote"), CREDIT),
    Sample("ubl debit note", "ubl", "en16931", ubl("DebitNote"), {"kind": "debit_note"}),
    Sample("ubl self-billed", "ubl", "en16931", ubl("SelfBilledInvoice"), {"kind": "self_billed_invoice"}),
    Sample("oioubl", "ubl", "oioubl", ubl(customization="OIOUBL-2.02")),
    Sample("ubl-tr", "ubl", "ubl_tr", ubl(customization="TR1.2", code="SATIS")),
    Sample(
        "cius-ro",
        "ubl",
        "cius_ro",
        ubl(customization="urn:cen.eu:en16931:2017#compliant#urn:efactura.mfinante.ro:CIUS-RO:1.0.1"),
    ),
    Sample(
        "cii",
        "cii",
        "en16931",
        _cii(
            "CrossIndustryInvoice",
            "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100",
            "urn:cen.eu:en16931:2017",
            _CROSS,
        ),
    ),
    Sample(
        "zugferd 1",
        "zugferd1",
        "comfort",
        _cii(
            "CrossIndustryDocument",
            "urn:ferd:CrossIndustryDocument:invoice:1p0",
            "urn:ferd:CrossIndustryDocument:invoice:1p0:comfort",
            _CROSS_1,
            "381",
        ).replace("HeaderMonetarySummation", "MonetarySummation"),
        CREDIT,
    ),
    Sample(
        "order-x",
        "orderx",
        "basic",
        _cii(
            "SCRDMCCBDACIOMessageStructure",
            "urn:un:unece:uncefact:data:SCRDMCCBDACIOMessageStructure:100",
            "urn:order-x.eu:1p0:basic",
            _CROSS,
            "220",
        ),
        {"kind": "order"},
    ),
    *_EUROPE,
)
