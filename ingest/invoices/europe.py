"""National formats of Europe that are neither UBL nor CII."""

from __future__ import annotations

from dataclasses import replace

from ingest.invoices.rules import XmlFormat, parties
from ingest.invoices.values import UNTDID_1001


def _facturae_party(role: str, party: str) -> dict[str, str | tuple[str, ...]]:
    return {
        f"{role}.name": (f"/Parties/{party}/LegalEntity/CorporateName", f"/Parties/{party}/Individual/FirstSurname"),
        f"{role}.vat_id": f"/Parties/{party}/TaxIdentification/TaxIdentificationNumber",
        f"{role}.country": tuple(
            f"/Parties/{party}/{kind}/{address}/CountryCode"
            for kind in ("LegalEntity", "Individual")
            for address in ("AddressInSpain", "OverseasAddress")
        ),
    }


FACTURAE = XmlFormat(
    "facturae",
    "Facturae 3.2.2, https://www.facturae.gob.es/formato/Versiones/Facturaev3_2_2.xml; 3.0 to 3.2.1 the same paths",
    {"Facturae": "Invoices/Invoice"},
    r"https?://www\.facturae(?:\.gob)?\.es/(?:Facturae/20[0-9]{2}/v|formato/Versiones/Facturaev)"
    r"(?P<version>[0-9](?:[._][0-9]){1,2})(?:/Facturae|\.xml)",
    {
        "profile": "/FileHeader/SchemaVersion",
        "number": "InvoiceHeader/InvoiceNumber",
        "issue_date": "InvoiceIssueData/IssueDate",
        "due_date": "PaymentDetails/Installment/InstallmentDueDate",
        "kind": "InvoiceHeader/InvoiceClass",
        "currency": ("InvoiceIssueData/InvoiceCurrencyCode", "/FileHeader/Batch/InvoiceCurrencyCode"),
        "net": "InvoiceTotals/TotalGrossAmountBeforeTaxes",
        "tax": "InvoiceTotals/TotalTaxOutputs",
        "gross": "InvoiceTotals/InvoiceTotal",
        "payable": ("InvoiceTotals/TotalExecutableAmount", "InvoiceTotals/TotalOutstandingAmount"),
        **_facturae_party("seller", "SellerParty"),
        **_facturae_party("buyer", "BuyerParty"),
        "order_reference": (
            "Items/InvoiceLine/ReceiverTransactionReference",
            "Items/InvoiceLine/FileReference",
        ),
        "payment_reference": "PaymentDetails/Installment/PaymentReconciliationReference",
        "iban": "PaymentDetails/Installment/AccountToBeCredited/IBAN",
    },
    kind={"Facturae": "invoice"},
    # Original, its copy, corrective, and recapitulative.
    kinds={
        "OO": "invoice",
        "CO": "invoice",
        "OC": "invoice",
        "CC": "invoice",
        "OR": "corrected_invoice",
        "CR": "corrected_invoice",
    },
)

EBINTERFACE = XmlFormat(
    "ebinterface",
    "ebInterface 4.0 to 6.1, https://www.wko.at/ebinterface, http://www.ebinterface.at/schema",
    {"Invoice": ""},
    r"http://www\.ebinterface\.at/schema/(?P<version>[3-9]p[0-9])/?",
    {
        "number": "InvoiceNumber",
        "issue_date": "InvoiceDate",
        "due_date": "PaymentConditions/DueDate",
        "kind": "@DocumentType",
        "currency": "@InvoiceCurrency",
        "tax": ("Tax/TaxItem/TaxAmount!", "Tax/VAT/VATItem/Amount!", "Tax/VAT/Item/Amount!"),
        "net": ("Tax/TaxItem/TaxableAmount!", "Tax/VAT/VATItem/TaxedAmount!", "Tax/VAT/Item/TaxedAmount!"),
        "gross": "TotalGrossAmount",
        "payable": "PayableAmount",
        **parties(
            {"seller": "Biller", "buyer": "InvoiceRecipient"},
            {
                "name": "{}/Address/Name",
                "vat_id": "{}/VATIdentificationNumber",
                "country": ("{}/Address/Country/@CountryCode", "{}/Address/Country"),
            },
        ),
        "order_reference": ("InvoiceRecipient/OrderReference/OrderID", "OrderingParty/OrderReference/OrderID"),
        "payment_reference": (
            "PaymentMethod/UniversalBankTransaction/PaymentReference",
            "PaymentMethod/PaymentReference",
            "PaymentReference",
        ),
        "iban": (
            "PaymentMethod/UniversalBankTransaction/BeneficiaryAccount/IBAN",
            "PaymentMethod/BeneficiaryAccount/IBAN",
            "UniversalBankTransaction/BeneficiaryAccount/IBAN",
        ),
    },
    kind={"Invoice": "invoice"},
    kinds={
        "INVOICE": "invoice",
        "CREDITMEMO": "credit_note",
        "SELFBILLING": "self_billed_invoice",
        "FINALSETTLEMENT": "invoice",
        "INVOICEFORADVANCEPAYMENT": "prepayment_invoice",
        "INVOICEFORPARTIALDELIVERY": "partial_invoice",
        "SUBSEQUENTCREDIT": "credit_note",
        "SUBSEQUENTDEBIT": "debit_note",
    },
)

KSEF = XmlFormat(
    "ksef",
    "FA(2) http://crd.gov.pl/wzor/2023/06/29/12648, FA(3) http://crd.gov.pl/wzor/2025/06/25/13775",
    {"Faktura": ""},
    r"http://crd\.gov\.pl/wzor/20[0-9]{2}/[0-9]{2}/[0-9]{2}/[0-9]{4,6}/?",
    {
        "profile": "Naglowek/KodFormularza/@kodSystemowy",
        "number": "Fa/P_2",
        "issue_date": "Fa/P_1",
        "due_date": "Fa/Platnosc/TerminPlatnosci/Termin",
        "kind": ("Fa[RodzajFaktury=VAT][Adnotacje/P_17=1]->SELF", "Fa/RodzajFaktury"),
        "currency": "Fa/KodWaluty",
        # Sums by rate, which are the totals of an invoice with one rate.
        "net": "Fa/(P_13_1|P_13_2|P_13_3|P_13_4|P_13_5|P_13_6|P_13_6_1|P_13_6_2|P_13_6_3|P_13_7|P_13_8|P_13_9|P_13_10"
        "|P_13_11)!",
        "tax": "Fa/(P_14_1|P_14_2|P_14_3|P_14_4|P_14_5)!",
        "gross": "Fa/P_15",
        "payable": "Fa/Rozliczenie/DoZaplaty",
        **parties(
            {"seller": "Podmiot1", "buyer": "Podmiot2"},
            {
                "name": ("{}/DaneIdentyfikacyjne/Nazwa", "{}/DaneIdentyfikacyjne/PelnaNazwa"),
                "vat_id": (
                    "{}/DaneIdentyfikacyjne/NIP",
                    "{}/DaneIdentyfikacyjne/NrVatUE",
                    "{}/DaneIdentyfikacyjne/NrID",
                ),
                "country": ("{}/Adres/KodKraju", "{}/DaneIdentyfikacyjne/KodUE"),
            },
        ),
        "order_reference": "Fa/WarunkiTransakcji/Zamowienia/NrZamowienia",
        "iban": "Fa/Platnosc/RachunekBankowy/NrRB",
    },
    kind={"Faktura": "invoice"},
    kinds={
        "VAT": "invoice",
        "SELF": "self_billed_invoice",
        "UPR": "invoice",
        "ROZ": "invoice",
        "ZAL": "prepayment_invoice",
        "KOR": "corrected_invoice",
        "KOR_ZAL": "corrected_invoice",
        "KOR_ROZ": "corrected_invoice",
    },
)


KSEF_2 = replace(KSEF, namespace=r"http://crd\.gov\.pl/wzor/2023/06/29/12648/?", profile="FA(2)")
KSEF_3 = replace(KSEF, namespace=r"http://crd\.gov\.pl/wzor/2025/06/25/13775/?", profile="FA(3)")


def _nav_party(role: str, party: str) -> dict[str, str | tuple[str, ...]]:
    numbers = (
        (f"{party}Info/communityVatNumber", f"{party}Info/{party}TaxNumber/taxpayerId")
        if party == "supplier"
        else (
            "customerInfo/customerVatData/communityVatNumber",
            "customerInfo/customerVatData/customerTaxNumber/taxpayerId",
            "customerInfo/customerVatData/thirdStateTaxId",
            "customerInfo/customerTaxNumber/taxpayerId",
        )
    )
    head = "invoiceHead"
    return {
        f"{role}.name": f"{head}/{party}Info/{party}Name",
        f"{role}.vat_id": tuple(f"{head}/{number}" for number in numbers),
        f"{role}.country": tuple(
            f"{head}/{party}Info/{party}Address/{address}/countryCode"
            for address in ("detailedAddress", "simpleAddress")
        ),
    }


NAV = XmlFormat(
    "nav",
    "NAV Online Számla 3.0, https://github.com/nav-gov-hu/Online-Invoice, invoiceData.xsd",
    {"InvoiceData": "invoiceMain/invoice|invoiceMain/batchInvoice/invoice"},
    r"http://schemas\.nav\.gov\.hu/OSA/(?P<version>[0-9]\.[0-9])/data",
    {
        "number": "/invoiceNumber",
        "issue_date": "/invoiceIssueDate",
        "due_date": "invoiceHead/invoiceDetail/paymentDate",
        "kind": "invoiceReference->MODIFIES",
        "currency": "invoiceHead/invoiceDetail/currencyCode",
        "net": "invoiceSummary/summaryNormal/invoiceNetAmount",
        "tax": "invoiceSummary/summaryNormal/invoiceVatAmount",
        "gross": "invoiceSummary/summaryGrossData/invoiceGrossAmount",
        **_nav_party("seller", "supplier"),
        **_nav_party("buyer", "customer"),
        "order_reference": "invoiceHead/invoiceDetail/conventionalInvoiceInfo/orderNumbers/orderNumber",
        "iban": "invoiceHead/supplierInfo/supplierBankAccountNumber",
    },
    kind={"InvoiceData": "invoice"},
    kinds={"MODIFIES": "corrected_invoice"},
)
_ESLOG = "M_INVOIC"


def _eslog_party(role: str, codes: str) -> dict[str, str | tuple[str, ...]]:
    group = f"{_ESLOG}/G_SG2[S_NAD/D_3035={codes}]"
    return {
        f"{role}.name": f"{group}/S_NAD/C_C080/D_3036",
        f"{role}.vat_id": f"{group}/G_SG3/S_RFF/C_C506[D_1153=VA|AHP]/D_1154",
        f"{role}.country": f"{group}/S_NAD/D_3207",
    }


def _eslog_amount(codes: str) -> str:
    return f"{_ESLOG}/G_SG50/S_MOA/C_C516[D_5025={codes}]/D_5004"


ESLOG = XmlFormat(
    "eslog",
    "eSLOG 2.0, https://www.gzs.si/e-poslovanje, eSLOG20_INVOIC_v200.xsd",
    {"Invoice": ""},
    r"urn:eslog:(?P<version>[0-9]\.[0-9])[0-9]?",
    {
        "number": f"{_ESLOG}/S_BGM/C_C106/D_1004",
        "issue_date": f"{_ESLOG}/S_DTM/C_C507[D_2005=137]/D_2380",
        "due_date": f"{_ESLOG}/G_SG8/S_DTM/C_C507[D_2005=13]/D_2380",
        "kind": f"{_ESLOG}/S_BGM/C_C002/D_1001",
        "currency": f"{_ESLOG}/G_SG7/S_CUX/C_C504[D_6347=2]/D_6345",
        "net": (_eslog_amount("389"), _eslog_amount("125"), _eslog_amount("79")),
        "tax": _eslog_amount("176"),
        "gross": (_eslog_amount("388"), _eslog_amount("77")),
        "payable": _eslog_amount("9"),
        **_eslog_party("seller", "SE|SU"),
        **_eslog_party("buyer", "BY|IV"),
        "order_reference": f"{_ESLOG}/G_SG1/S_RFF/C_C506[D_1153=ON]/D_1154",
        "payment_reference": f"{_ESLOG}/G_SG1/S_RFF/C_C506[D_1153=PQ]/D_1154",
        "iban": (
            f"{_ESLOG}/G_SG2/S_FII[D_3035=RB|BF]/C_C078/D_3194",
            f"{_ESLOG}/G_SG2[S_NAD/D_3035=SE|SU|PE]/S_FII/C_C078/D_3194",
        ),
    },
    kind={"Invoice": "invoice"},
    kinds=UNTDID_1001,
)


def _enostavni_party(role: str, codes: str) -> dict[str, str | tuple[str, ...]]:
    party = f"PodatkiPodjetja[NazivNaslovPodjetja/VrstaPartnerja={codes}]"
    return {
        f"{role}.name": f"{party}/NazivNaslovPodjetja/NazivPartnerja/NazivPartnerja1",
        f"{role}.vat_id": f"{party}/ReferencniPodatkiPodjetja[VrstaPodatkaPodjetja=VA]/PodatekPodjetja",
        f"{role}.country": f"{party}/NazivNaslovPodjetja/KodaDrzave",
    }


def _enostavni_amount(codes: str) -> str:
    return f"PovzetekZneskovRacuna/ZneskiRacuna[VrstaZneska={codes}]/ZnesekRacuna"


_RACUN = {
    "number": "GlavaRacuna/StevilkaRacuna",
    "kind": "GlavaRacuna/VrstaRacuna",
    "issue_date": "DatumiRacuna[VrstaDatuma=137]/DatumRacuna",
    "due_date": "PlacilniPogoji/PlacilniRoki[VrstaDatumaPlacilnegaRoka=13]/Datum",
    "currency": "Valuta[VrstaValuteRacuna=2]/KodaValute",
    "net": (_enostavni_amount("125"), _enostavni_amount("79")),
    "tax": _enostavni_amount("176"),
    "gross": _enostavni_amount("86"),
    "payable": _enostavni_amount("9"),
    **_enostavni_party("seller", "II|SE"),
    **_enostavni_party("buyer", "IV|BY"),
    "order_reference": "ReferencniDokumenti[@VrstaDokumenta=ON]/StevilkaDokumenta",
    "payment_reference": "PovzetekZneskovRacuna/SklicZaPlacilo/StevilkaSklica",
    "iban": "PodatkiPodjetja/FinancniPodatkiPodjetja/BancniRacun/StevilkaBancnegaRacuna",
}

ESLOG_1 = XmlFormat(
    "eslog",
    "eSLOG 1.5 and 1.6, IzdaniRacunEnostavni, https://www.gzs.si/e-poslovanje",
    {"IzdaniRacunEnostavni": "Racun"},
    r"(?:urn:.*|http.*)?",
    _RACUN,
    kind={"IzdaniRacunEnostavni": "invoice"},
    kinds=UNTDID_1001,
    profile="1.6",
)

FINVOICE = XmlFormat(
    "finvoice",
    "Finvoice 3.0, https://www.finanssiala.fi/finvoice; 1.x and 2.x the same paths",
    {"Finvoice": ""},
    r"(?:http.*)?",
    {
        "profile": "@Version",
        "number": "InvoiceDetails/InvoiceNumber",
        "issue_date": "InvoiceDetails/InvoiceDate",
        "due_date": (
            "InvoiceDetails/PaymentTermsDetails/InvoiceDueDate",
            "EpiDetails/EpiPaymentInstructionDetails/EpiDateOptionDate",
        ),
        "kind": ("InvoiceDetails/InvoiceTypeCodeUN", "InvoiceDetails/InvoiceTypeCode"),
        "currency": (
            "InvoiceDetails/InvoiceTotalVatIncludedAmount/@AmountCurrencyIdentifier",
            "InvoiceDetails/InvoiceTotalVatExcludedAmount/@AmountCurrencyIdentifier",
        ),
        "net": "InvoiceDetails/InvoiceTotalVatExcludedAmount",
        "tax": "InvoiceDetails/InvoiceTotalVatAmount",
        "gross": "InvoiceDetails/InvoiceTotalVatIncludedAmount",
        "payable": "EpiDetails/EpiPaymentInstructionDetails/EpiInstructedAmount",
        **parties(
            {"seller": "Seller", "buyer": "Buyer"},
            {
                "name": "{}PartyDetails/{}OrganisationName",
                "vat_id": (
                    "{}PartyDetails/{}OrganisationTaxCode",
                    "{}PartyDetails/{}PartyIdentifier",
                ),
                "country": "{}PartyDetails/{}PostalAddressDetails/CountryCode",
            },
        ),
        "order_reference": "InvoiceDetails/OrderIdentifier",
        "payment_reference": "EpiDetails/EpiPaymentInstructionDetails/EpiRemittanceInfoIdentifier",
        "iban": (
            "EpiDetails/EpiPartyDetails/EpiBeneficiaryPartyDetails/EpiAccountID",
            "SellerInformationDetails/SellerAccountDetails/SellerAccountID",
        ),
    },
    kind={"Finvoice": "invoice"},
    kinds={
        **UNTDID_1001,
        "INV01": "invoice",
        "INV02": "credit_note",
    },
)
