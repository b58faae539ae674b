"""Invoices of the Americas, of branches and networks, in EDI and JSON, and in wrappers; see `samples`."""

from __future__ import annotations

import base64
import json
from typing import Any

from tests.unit.invoices.samples import BASE, CREDIT, Sample, ubl

NOTHING: dict[str, Any] = dict.fromkeys(BASE)


def says(**fields: Any) -> dict[str, Any]:
    """The fields that a format has, and no others."""
    return NOTHING | fields


SELLER, BUYER = BASE["seller"], BASE["buyer"]
AMERICAS = (
    Sample(
        "cfdi",
        "cfdi",
        "4.0",
        """<cfdi:Comprobante xmlns:cfdi="http://www.sat.gob.mx/cfd/4" xmlns:tfd="http://www.sat.gob.mx/TimbreFiscalDigital"
Version="4.0" Serie="A" Folio="R-17" Fecha="2026-03-02T08:15:00" SubTotal="100.00" Moneda="MXN" Total="119.00"
TipoDeComprobante="I"><cfdi:Emisor Rfc="EKU9003173C9" Nombre="Seller &amp; Co"/><cfdi:Receptor Rfc="XEXX010101000"
Nombre="Buyer AG" ResidenciaFiscal="AUT"/><cfdi:Conceptos><cfdi:Concepto><cfdi:Impuestos/></cfdi:Concepto></cfdi:Conceptos>
<cfdi:Impuestos TotalImpuestosTrasladados="19.00"/><cfdi:Complemento><tfd:TimbreFiscalDigital UUID="x"/></cfdi:Complemento>
</cfdi:Comprobante>""",
        says(
            number="R-17",
            issue_date="2026-03-02",
            kind="invoice",
            currency="MXN",
            net="100.00",
            tax="19.00",
            gross="119.00",
            payable="119.00",
            seller={"name": "Seller & Co", "vat_id": "EKU9003173C9", "country": None},
            buyer={"name": "Buyer AG", "vat_id": "XEXX010101000", "country": "AUT"},
        ),
    ),
    Sample(
        "cfdi 3.3, a credit note",
        "cfdi",
        "3.3",
        '<cfdi:Comprobante xmlns:cfdi="http://www.sat.gob.mx/cfd/3" Version="3.3" TipoDeComprobante="E" Folio="9"/>',
        says(number="9", kind="credit_note"),
    ),
    Sample(
        "nf-e",
        "nfe",
        "4.00",
        """<nfeProc versao="4.00" xmlns="http://www.portalfiscal.inf.br/nfe"><NFe><infNFe Id="NFe35" versao="4.00"><ide>
<mod>55</mod><serie>1</serie><nNF>17</nNF><dhEmi>2026-03-02T08:15:00-03:00</dhEmi><finNFe>1</finNFe></ide><emit>
<CNPJ>12345678000195</CNPJ><xNome>Seller &amp; Co</xNome><enderEmit><xPais>BRASIL</xPais></enderEmit></emit><dest>
<CPF>11122233344</CPF><xNome>Buyer AG</xNome></dest><det nItem="1"><imposto><vTotTrib>1.00</vTotTrib></imposto></det>
<total><ICMSTot><vProd>100.00</vProd><vNF>119.00</vNF></ICMSTot></total><cobr><fat><vLiq>109.00</vLiq></fat><dup>
<dVenc>2026-03-30</dVenc></dup></cobr><compra><xPed>PO-4</xPed></compra></infNFe></NFe><protNFe/></nfeProc>""",
        says(
            number="17",
            issue_date="2026-03-02",
            due_date="2026-03-30",
            kind="invoice",
            net="100.00",
            gross="119.00",
            payable="109.00",
            seller={"name": "Seller & Co", "vat_id": "12345678000195", "country": "BRASIL"},
            buyer={"name": "Buyer AG", "vat_id": "11122233344", "country": None},
            order_reference="PO-4",
        ),
    ),
    Sample(
        "nfs-e",
        "nfse",
        "1.00",
        """<NFSe versao="1.00" xmlns="http://www.sped.fazenda.gov.br/nfse"><infNFSe Id="NFS1"><nNFSe>17</nNFSe>
<dhProc>2026-03-03T00:00:00-03:00</dhProc><emit><CNPJ>12345678000195</CNPJ><xNome>Seller &amp; Co</xNome></emit><valores>
<vISSQN>5.00</vISSQN><vLiq>95.00</vLiq></valores><DPS versao="1.00"><infDPS><dhEmi>2026-03-02T08:15:00-03:00</dhEmi>
<toma><CNPJ>98765432000100</CNPJ><xNome>Buyer AG</xNome></toma><valores><vServPrest><vServ>100.00</vServ></vServPrest>
</valores></infDPS></DPS></infNFSe></NFSe>""",
        says(
            number="17",
            issue_date="2026-03-02",
            kind="invoice",
            net="100.00",
            tax="5.00",
            payable="95.00",
            seller={"name": "Seller & Co", "vat_id": "12345678000195", "country": None},
            buyer={"name": "Buyer AG", "vat_id": "98765432000100", "country": None},
        ),
    ),
    Sample(
        "nfs-e of a town, two of them",
        "nfse",
        "2.04",
        """<ConsultarNfseResposta xmlns="http://www.abrasf.org.br/nfse.xsd"><ListaNfse><CompNfse><Nfse versao="2.04"><InfNfse>
<Numero>17</Numero><DataEmissao>2026-03-02T08:15:00</DataEmissao><ValoresNfse><BaseCalculo>100.00</BaseCalculo>
<ValorIss>5.00</ValorIss><ValorLiquidoNfse>95.00</ValorLiquidoNfse></ValoresNfse><PrestadorServico>
<IdentificacaoPrestador><CpfCnpj><Cnpj>12345678000195</Cnpj></CpfCnpj></IdentificacaoPrestador>
<RazaoSocial>Seller &amp; Co</RazaoSocial></PrestadorServico></InfNfse></Nfse></CompNfse><CompNfse><Nfse><InfNfse>
<Numero>18</Numero></InfNfse></Nfse></CompNfse></ListaNfse></ConsultarNfseResposta>""",
        says(
            number="17",
            issue_date="2026-03-02",
            kind="invoice",
            net="100.00",
            tax="5.00",
            payable="95.00",
            seller={"name": "Seller & Co", "vat_id": "12345678000195", "country": None},
        ),
        invoices=2,
    ),
    Sample(
        "dte, three of them",
        "dte_cl",
        "1.0",
        """<?xml version="1.0" encoding="ISO-8859-1"?><EnvioDTE xmlns="http://www.sii.cl/SiiDte" version="1.0"><SetDTE ID="S">
<Caratula/><DTE version="1.0"><Documento ID="D"><Encabezado><IdDoc><TipoDTE>61</TipoDTE><Folio>17</Folio>
<FchEmis>2026-03-02</FchEmis><FchVenc>2026-03-30</FchVenc></IdDoc><Emisor><RUTEmisor>76192083-9</RUTEmisor>
<RznSoc>Seller &amp; Co</RznSoc></Emisor><Receptor><RUTRecep>12345678-5</RUTRecep><RznSocRecep>Buyer AG</RznSocRecep>
</Receptor><Totales><MntNeto>100</MntNeto><IVA>19</IVA><MntTotal>119</MntTotal></Totales></Encabezado><Referencia>
<TpoDocRef>33</TpoDocRef><FolioRef>5</FolioRef></Referencia><Referencia><FolioRef>PO-4</FolioRef><TpoDocRef>801</TpoDocRef>
</Referencia></Documento></DTE><DTE/><DTE/></SetDTE></EnvioDTE>""",
        says(
            number="17",
            issue_date="2026-03-02",
            due_date="2026-03-30",
            kind="credit_note",
            net="100",
            tax="19",
            gross="119",
            seller={"name": "Seller & Co", "vat_id": "76192083-9", "country": None},
            buyer={"name": "Buyer AG", "vat_id": "12345678-5", "country": None},
            order_reference="PO-4",
        ),
        invoices=3,
    ),
    Sample(
        "costa rica",
        "fe_cr",
        "4.4",
        """<FacturaElectronica xmlns="https://cdn.comprobanteselectronicos.go.cr/xml-schemas/v4.4/facturaElectronica">
<Clave>5</Clave><NumeroConsecutivo>R-17</NumeroConsecutivo><FechaEmision>2026-03-02T08:15:00-06:00</FechaEmision><Emisor>
<Nombre>Seller &amp; Co</Nombre><Identificacion><Tipo>02</Tipo><Numero>3101123456</Numero></Identificacion></Emisor>
<Receptor><Nombre>Buyer AG</Nombre></Receptor><ResumenFactura><CodigoTipoMoneda><CodigoMoneda>CRC</CodigoMoneda>
</CodigoTipoMoneda><TotalVentaNeta>100.00000</TotalVentaNeta><TotalImpuesto>19.00000</TotalImpuesto>
<TotalComprobante>119.00000</TotalComprobante></ResumenFactura></FacturaElectronica>""",
        says(
            number="R-17",
            issue_date="2026-03-02",
            kind="invoice",
            currency="CRC",
            net="100.00000",
            tax="19.00000",
            gross="119.00000",
            payable="119.00000",
            seller={"name": "Seller & Co", "vat_id": "3101123456", "country": None},
            buyer={"name": "Buyer AG", "vat_id": None, "country": None},
        ),
    ),
)
FACTURA = """<factura id="comprobante" version="1.1.0"><infoTributaria><razonSocial>Seller &amp; Co</razonSocial>
<ruc>1790012345001</ruc><codDoc>01</codDoc><estab>001</estab><ptoEmi>002</ptoEmi><secuencial>000000017</secuencial>
</infoTributaria><infoFactura><fechaEmision>02/03/2026</fechaEmision><razonSocialComprador>Buyer AG</razonSocialComprador>
<identificacionComprador>0912345678</identificacionComprador><totalSinImpuestos>100.00</totalSinImpuestos>
<totalConImpuestos><totalImpuesto><codigo>2</codigo><valor>19.00</valor></totalImpuesto></totalConImpuestos>
<importeTotal>119.00</importeTotal><moneda>DOLAR</moneda></infoFactura></factura>"""
_SRI = says(
    number="000000017",
    issue_date="2026-03-02",
    kind="invoice",
    net="100.00",
    tax="19.00",
    gross="119.00",
    seller={"name": "Seller & Co", "vat_id": "1790012345001", "country": None},
    buyer={"name": "Buyer AG", "vat_id": "0912345678", "country": None},
)
WRAPPED = (
    Sample("sri", "sri_ec", "1.1.0", FACTURA, _SRI),
    Sample(
        "sri in its authorisation",
        "sri_ec",
        "1.1.0",
        "<autorizacion><estado>AUTORIZADO</estado><comprobante><![CDATA[<?xml version='1.0' encoding='UTF-8'?>\n"
        f"{FACTURA}]]></comprobante><mensajes/></autorizacion>",
        _SRI,
    ),
    Sample(
        "sri in its authorisation, escaped",
        "sri_ec",
        "1.1.0",
        "<autorizacion><comprobante>"
        + FACTURA.replace("&", "&amp;").replace("<", "&lt;")
        + "</comprobante></autorizacion>",
        _SRI,
    ),
    Sample(
        "ubl in an sbdh",
        "ubl",
        "en16931",
        '<s:StandardBusinessDocument xmlns:s="http://www.unece.org/cefact/namespaces/StandardBusinessDocumentHeader">'
        "<s:StandardBusinessDocumentHeader><s:DocumentIdentification><s:Type>Invoice</s:Type></s:DocumentIdentification>"
        f"</s:StandardBusinessDocumentHeader>{ubl().partition('?>')[2]}</s:StandardBusinessDocument>",
    ),
    Sample(
        "ubl in dian's attached document",
        "ubl",
        "en16931",
        '<AttachedDocument xmlns="urn:oasis:names:specification:ubl:schema:xsd:AttachedDocument-2" xmlns:cac="a" '
        'xmlns:cbc="b"><cbc:ID>1</cbc:ID><cac:Attachment><cac:ExternalReference><cbc:MimeCode>text/xml</cbc:MimeCode>'
        f"<cbc:Description><![CDATA[{ubl()}]]></cbc:Description></cac:ExternalReference></cac:Attachment>"
        "<cac:ParentDocumentLineReference><cac:DocumentReference><cac:Attachment><cac:ExternalReference>"
        "<cbc:Description><![CDATA[<?xml version='1.0'?><ApplicationResponse/>]]></cbc:Description>"
        "</cac:ExternalReference></cac:Attachment></cac:DocumentReference></cac:ParentDocumentLineReference>"
        "</AttachedDocument>",
    ),
    Sample(
        "finvoice behind its soap envelope",
        "finvoice",
        "3.0",
        '<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/"><SOAP-ENV:Header/><SOAP-ENV:Body/>'
        '</SOAP-ENV:Envelope>\n<?xml version="1.0" encoding="ISO-8859-15"?>\n<!DOCTYPE Finvoice SYSTEM "Finvoice.dtd">\n'
        '<Finvoice Version="3.0"><InvoiceDetails><InvoiceNumber>R-17</InvoiceNumber></InvoiceDetails></Finvoice>\n'
        '<?xml version="1.0"?><Finvoice Version="3.0"/>',
        says(number="R-17", kind="invoice"),
        invoices=2,
    ),
)
BUSINESS = (
    Sample(
        "opentrans",
        "opentrans",
        "2.1",
        """<INVOICE xmlns="http://www.opentrans.org/XMLSchema/2.1" xmlns:b="http://www.bmecat.org/bmecat/2005" version="2.1">
<INVOICE_HEADER><INVOICE_INFO><INVOICE_ID>R-17</INVOICE_ID><INVOICE_DATE>2026-03-02T00:00:00+01:00</INVOICE_DATE><PARTIES>
<PARTY><b:PARTY_ID>1</b:PARTY_ID><PARTY_ROLE>invoice_issuer</PARTY_ROLE><ADDRESS><b:NAME>Seller &amp; Co</b:NAME>
<b:COUNTRY_CODED>DE</b:COUNTRY_CODED><b:VAT_ID>DE123456789</b:VAT_ID></ADDRESS><ACCOUNT>
<BANK_ACCOUNT type="iban">DE02120300000000202051</BANK_ACCOUNT></ACCOUNT></PARTY><PARTY>
<PARTY_ROLE>invoice_recipient</PARTY_ROLE><ADDRESS><b:NAME>Buyer AG</b:NAME><b:COUNTRY_CODED>AT</b:COUNTRY_CODED>
<b:VAT_ID>AT98765432</b:VAT_ID></ADDRESS></PARTY></PARTIES><b:CURRENCY>EUR</b:CURRENCY></INVOICE_INFO><ORDER_HISTORY>
<ORDER_ID>PO-4</ORDER_ID></ORDER_HISTORY></INVOICE_HEADER><INVOICE_SUMMARY><NET_VALUE_GOODS>100.00</NET_VALUE_GOODS>
<TOTAL_AMOUNT>119.00</TOTAL_AMOUNT><TOTAL_TAX><TAX_DETAILS_FIX><TAX_AMOUNT>19.00</TAX_AMOUNT></TAX_DETAILS_FIX></TOTAL_TAX>
</INVOICE_SUMMARY></INVOICE>""",
        {"due_date": None, "payable": None, "payment_reference": None},
    ),
    Sample(
        "yellowbill",
        "yellowbill",
        "2.0",
        """<Envelope type="string" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><Header><Version>2.0</Version></Header>
<Body><DeliveryInfo><BillerID>41100000000000000</BillerID></DeliveryInfo><Bill><Header><DocumentType>CREDITADVICE</DocumentType>
<DocumentID>R-17</DocumentID><DocumentDate>2026-03-02</DocumentDate><SenderParty><TaxLiability>VAT</TaxLiability><PartyType>
<Address><CompanyName>Seller &amp; Co</CompanyName><Country>DE</Country></Address><TaxID>DE123456789</TaxID></PartyType>
</SenderParty><ReceiverParty><PartyType><Address><CompanyName>Buyer AG</CompanyName><Country>AT</Country></Address>
<TaxID>AT98765432</TaxID></PartyType></ReceiverParty><Currency>EUR</Currency><AccountAssignment><OrderReference>
<ReferenceValue>PO-4</ReferenceValue></OrderReference></AccountAssignment><PaymentInformation>
<PaymentDueDate>2026-03-30</PaymentDueDate><IBAN><IBAN>DE02120300000000202051</IBAN>
<CreditorReference>RF18-17</CreditorReference></IBAN></PaymentInformation></Header><Summary><Tax><TotalTax>19.00</TotalTax>
</Tax><TotalAmountExclusiveTax>100.00</TotalAmountExclusiveTax><TotalAmountInclusiveTax>119.00</TotalAmountInclusiveTax>
<TotalAmountDue>109.00</TotalAmountDue></Summary></Bill></Body></Envelope>""",
        CREDIT,
    ),
    Sample(
        "xcbl 4",
        "xcbl",
        "4.0",
        """<Invoice xmlns="rrn:org.xcbl:schemas/xcbl/v4_0/financial/v1_0/financial.xsd" xmlns:c="core"><InvoiceHeader>
<InvoiceNumber>R-17</InvoiceNumber><InvoiceIssueDate>2026-03-02T00:00:00</InvoiceIssueDate><InvoiceReferences>
<PurchaseOrderReference><c:BuyerOrderNumber>PO-4</c:BuyerOrderNumber></PurchaseOrderReference></InvoiceReferences>
<InvoiceType><InvoiceTypeCoded>CommercialInvoice</InvoiceTypeCoded></InvoiceType><InvoiceCurrency>
<c:CurrencyCoded>EUR</c:CurrencyCoded></InvoiceCurrency><InvoiceDates><InvoiceDueDate>2026-03-30T00:00:00</InvoiceDueDate>
</InvoiceDates><InvoiceParty><BuyerParty><c:NameAddress><c:Name1>Buyer AG</c:Name1><c:Country><c:CountryCoded>AT</c:CountryCoded>
</c:Country></c:NameAddress><c:PartyTaxInformation><c:TaxIdentifier><c:Ident>AT98765432</c:Ident></c:TaxIdentifier>
</c:PartyTaxInformation></BuyerParty><SellerParty><c:NameAddress><c:Name1>Seller &amp; Co</c:Name1><c:Country>
<c:CountryCoded>DE</c:CountryCoded></c:Country></c:NameAddress><c:PartyTaxInformation><c:TaxIdentifier>
<c:Ident>DE123456789</c:Ident></c:TaxIdentifier></c:PartyTaxInformation></SellerParty></InvoiceParty></InvoiceHeader>
<InvoiceSummary><InvoiceTotals><NetValue><c:MonetaryAmount>100.00</c:MonetaryAmount></NetValue><TotalTaxAmount>
<c:MonetaryAmount>19.00</c:MonetaryAmount></TotalTaxAmount><GrossValue><c:MonetaryAmount>119.00</c:MonetaryAmount></GrossValue>
<TotalAmountPayable><c:MonetaryAmount>109.00</c:MonetaryAmount></TotalAmountPayable></InvoiceTotals></InvoiceSummary>
</Invoice>""",
        {"payment_reference": None, "iban": None},
    ),
    Sample(
        "cxml",
        "cxml",
        "1.2",
        """<!DOCTYPE cXML SYSTEM "http://xml.cxml.org/schemas/cXML/1.2.050/InvoiceDetail.dtd"><cXML payloadID="1"
timestamp="2026-03-02T08:15:00+01:00"><Header/><Request><InvoiceDetailRequest><InvoiceDetailRequestHeader invoiceID="R-17"
purpose="creditMemo" invoiceDate="2026-03-02T08:15:00+01:00"><InvoicePartner><Contact role="from"><Name>Seller &amp; Co</Name>
<PostalAddress><Country isoCountryCode="DE">Germany</Country></PostalAddress></Contact>
<IdReference identifier="DE123456789" domain="vatID"/></InvoicePartner><InvoicePartner><Contact role="billTo">
<Name>a branch</Name></Contact></InvoicePartner><InvoicePartner><Contact role="soldTo"><Name>Buyer AG</Name><PostalAddress>
<Country isoCountryCode="AT">Austria</Country></PostalAddress></Contact></InvoicePartner>
<Extrinsic name="buyerVatID">AT98765432</Extrinsic></InvoiceDetailRequestHeader><InvoiceDetailOrder><InvoiceDetailOrderInfo><OrderReference orderID="PO-4"/>
</InvoiceDetailOrderInfo></InvoiceDetailOrder><InvoiceDetailSummary><SubtotalAmount><Money currency="EUR">100.00</Money>
</SubtotalAmount><Tax><Money currency="EUR">19.00</Money></Tax><GrossAmount><Money currency="EUR">119.00</Money></GrossAmount>
<NetAmount><Money currency="EUR">117.00</Money></NetAmount><DueAmount><Money currency="EUR">109.00</Money></DueAmount>
</InvoiceDetailSummary></InvoiceDetailRequest></Request></cXML>""",
        CREDIT | {"due_date": None, "payment_reference": None, "iban": None},
    ),
    Sample(
        "gs1",
        "gs1",
        "3.2",
        """<i:invoiceMessage xmlns:i="urn:gs1:ecom:invoice:xsd:3" xmlns:h="http://www.unece.org/cefact/namespaces/StandardBusinessDocumentHeader">
<h:StandardBusinessDocumentHeader/><invoice><creationDateTime>2026-03-02T08:15:00</creationDateTime>
<documentStructureVersion>3.2</documentStructureVersion><invoiceIdentification><entityIdentification>R-17</entityIdentification>
</invoiceIdentification><invoiceType>INVOICE</invoiceType><invoiceCurrencyCode>EUR</invoiceCurrencyCode><buyer><address>
<countryCode>AT</countryCode><name>Buyer AG</name></address><dutyFeeTaxRegistration>
<dutyFeeTaxRegistrationID>AT98765432</dutyFeeTaxRegistrationID></dutyFeeTaxRegistration></buyer><seller>
<dutyFeeTaxRegistration><dutyFeeTaxRegistrationID>DE123456789</dutyFeeTaxRegistrationID></dutyFeeTaxRegistration>
<organisationDetails><organisationName>Seller &amp; Co</organisationName></organisationDetails><address>
<countryCode>DE</countryCode></address></seller><invoiceTotals><totalInvoiceAmount currencyCode="EUR">119.00</totalInvoiceAmount>
<totalInvoiceAmountPayable>109.00</totalInvoiceAmountPayable><totalTaxBasisAmount>100.00</totalTaxBasisAmount>
<totalTaxAmount>19.00</totalTaxAmount></invoiceTotals><purchaseOrder><entityIdentification>PO-4</entityIdentification>
</purchaseOrder></invoice><invoice/></i:invoiceMessage>""",
        {"due_date": None, "payment_reference": None, "iban": None},
        invoices=2,
    ),
    Sample(
        "idoc",
        "idoc",
        "INVOIC02",
        """<INVOIC02><IDOC BEGIN="1"><EDI_DC40 SEGMENT="1"><IDOCTYP>INVOIC02</IDOCTYP><MESTYP>INVOIC</MESTYP></EDI_DC40>
<E1EDK01 SEGMENT="1"><CURCY>EUR</CURCY><BSART>INVO</BSART><EIGENUINR>DE123456789</EIGENUINR><KUNDEUINR>AT98765432</KUNDEUINR>
<BELNR>internal</BELNR></E1EDK01><E1EDKA1><PARVW>RE</PARVW><NAME1>Buyer AG</NAME1><LAND1>AT</LAND1></E1EDKA1><E1EDKA1>
<NAME1>Seller &amp; Co</NAME1><LAND1>DE</LAND1><PARVW>RS</PARVW></E1EDKA1><E1EDK02><QUALF>001</QUALF><BELNR>PO-4</BELNR></E1EDK02>
<E1EDK02><QUALF>009</QUALF><BELNR>R-17</BELNR></E1EDK02><E1EDK03><IDDAT>012</IDDAT><DATUM>20260301</DATUM></E1EDK03>
<E1EDK03><IDDAT>026</IDDAT><DATUM>20260302</DATUM></E1EDK03><E1EDP01><E1EDP02><QUALF>001</QUALF></E1EDP02></E1EDP01>
<E1EDS01><SUMID>010</SUMID><SUMME>100.00</SUMME></E1EDS01><E1EDS01><SUMID>005</SUMID><SUMME>19.00</SUMME></E1EDS01>
<E1EDS01><SUMID>011</SUMID><SUMME>119.00 </SUMME></E1EDS01></IDOC><IDOC/></INVOIC02>""",
        {"due_date": None, "payable": None, "payment_reference": None, "iban": None},
        invoices=2,
    ),
)
_MOA = "".join(
    f"MOA+{code}:{amount}'"
    for code, amount in (("79", "101"), ("125", "100,00"), ("124", "19,00"), ("77", "119,00"), ("9", "109,00"))
)
EDIFACT_MESSAGE = (
    "UNH+1+INVOIC:D:01B:UN:EAN010'BGM+380+R-17+9'DTM+137:20260302:102'RFF+ON:PO-4'RFF+PQ:RF18-17'"
    "NAD+SU+1::9++Seller ?+ Co::x+Street+City++1+DE'RFF+VA:DE123456789'FII+BF+DE02120300000000202051'"
    "NAD+IV+2::9++Buyer AG+++++AT'RFF+VA:AT98765432'CUX+2:EUR:4'PAT+1'DTM+13:20260330:102'"
    f"LIN+1'MOA+203:50'RFF+ON:other'UNS+S'{_MOA}UNT+3+1'"
)
_X12_ISA = (
    "ISA*00*          *00*          *ZZ*SENDER         *ZZ*RECEIVER       *260302*0815*U*00401*000000001*0*P*>~"
)
EDI = (
    Sample(
        "edifact, two of them, behind lines of a transport",
        "edifact",
        "D01B",
        f"FROM=SUPPLIER\r\nTO=BUYER\r\nUNB+UNOC:3+S:14+R:14+260302:0815+1'\r\n{EDIFACT_MESSAGE}{EDIFACT_MESSAGE}UNZ+2+1'",
        {"seller": SELLER | {"name": "Seller + Co"}},
        invoices=2,
    ),
    Sample(
        "x12",
        "x12",
        "004010",
        f"{_X12_ISA}GS*IN*S*R*20260302*0815*1*X*004010~ST*810*0001~BIG*20260302*R-17*20260201*PO-4***DI~CUR*SE*USD~"
        "N1*BT*Buyer AG~N4*Wien***AT~N1*SE*Seller & Co~N4*Bonn**53111*DE~ITD*01*3*****20260330~IT1*1*1*EA*119~N1*ST*x~"
        "TDS*11900~TXI*VA*19.00~SE*9*0001~ST*810*0002~BIG*20260302*R-18~SE*2*0002~GE*2*1~IEA*1*000000001~",
        says(
            number="R-17",
            issue_date="2026-03-02",
            due_date=None,
            kind="invoice",
            currency="USD",
            tax="19.00",
            gross="119.00",
            payable="119.00",
            seller={"name": "Seller & Co", "vat_id": None, "country": "DE"},
            buyer={"name": "Buyer AG", "vat_id": None, "country": "AT"},
            order_reference="PO-4",
        ),
        invoices=2,
    ),
    Sample(
        "tradacoms",
        "tradacoms",
        "INVFIL9",
        "STX=ANAA:1+5023456789541:S+5098765432156:B+260302:104133+9++INVFIL'MHD=1+INVFIL:9'TYP=0700'\r\n"
        "SDT=5023456789541+Seller ?+ Co+a:b+123456789'CDT=5098765432156+Buyer AG+STREET'FIL=25+1+260302'MTR=8'\r\n"
        "MHD=2+INVOIC:9'CLO=5012345678954'IRF=R-17+260302+260302'PYT=1+260330+30'ODD=1+PO-4:0023036011:260301'\r\n"
        "TLR=1+10000+++++10000++10000+1900++11900'MTR=10'MHD=3+INVOIC:9'IRF=R-18+260302'MTR=3'MHD=4+INVTLR:9'MTR=3'END=4",
        says(
            number="R-17",
            issue_date="2026-03-02",
            due_date="2026-03-30",
            kind="invoice",
            net="100.00",
            tax="19.00",
            gross="119.00",
            payable="119.00",
            seller={"name": "Seller + Co", "vat_id": "123456789", "country": None},
            buyer={"name": "Buyer AG", "vat_id": None, "country": None},
            order_reference="PO-4",
        ),
        invoices=2,
    ),
)
GST: dict[str, Any] = {
    "Version": "1.1",
    "DocDtls": {"Typ": "CRN", "No": "R-17", "Dt": "02/03/2026"},
    "SellerDtls": {"Gstin": "29AABCT1332L000", "LglNm": "Seller & Co"},
    "BuyerDtls": {"Gstin": "36AAACS8577K1ZH", "LglNm": "Buyer AG"},
    "RefDtls": {"InvRm": "x"},
    "ValDtls": {"AssVal": 100.10, "IgstVal": 19, "TotInvVal": 119.10},
}


def token(invoice: dict[str, Any]) -> str:
    """A JSON Web Token as the portal makes it, with a signature that nobody verifies."""
    claims = {"data": json.dumps(invoice), "iss": "NIC"}
    parts = (json.dumps({"alg": "RS256"}), json.dumps(claims), "signature")
    return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)


_GST_FIELDS = says(
    number="R-17",
    issue_date="2026-03-02",
    kind="credit_note",
    net="100.1",
    gross="119.1",
    seller={"name": "Seller & Co", "vat_id": "29AABCT1332L000", "country": None},
    buyer={"name": "Buyer AG", "vat_id": "36AAACS8577K1ZH", "country": None},
)
JSON = (
    Sample(
        "india, signed",
        "gst_in",
        "signed",
        json.dumps(
            {"AckNo": 112, "Irn": "ab", "SignedInvoice": token(GST), "SignedQRCode": "eyJ.x.y", "Status": "ACT"}
        ),
        _GST_FIELDS,
    ),
    Sample(
        "india, two signed in an answer",
        "gst_in",
        "signed",
        json.dumps([{"Status": 1, "Data": json.dumps({"Irn": "ab", "SignedInvoice": token(GST)})}] * 2),
        _GST_FIELDS,
        invoices=2,
    ),
    Sample("india, the token itself", "gst_in", "signed", token(GST), _GST_FIELDS),
)
OLDER = (
    Sample(
        "ubl of colombia",
        "ubl",
        "dian",
        """<Invoice xmlns="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2" xmlns:ext="e" xmlns:sts="dian:gov:co:facturaelectronica:Structures-2-1"
xmlns:cbc="b" xmlns:cac="a"><ext:UBLExtensions><ext:UBLExtension><ext:ExtensionContent><sts:DianExtensions/></ext:ExtensionContent>
</ext:UBLExtension></ext:UBLExtensions><cbc:UBLVersionID>UBL 2.1</cbc:UBLVersionID><cbc:CustomizationID>10</cbc:CustomizationID>
<cbc:ID>SETP17</cbc:ID><cbc:InvoiceTypeCode>91</cbc:InvoiceTypeCode><cac:AccountingSupplierParty><cac:Party><cac:PartyTaxScheme>
<cbc:RegistrationName>Seller &amp; Co</cbc:RegistrationName><cbc:CompanyID>800197268</cbc:CompanyID><cac:TaxScheme><cbc:ID>01</cbc:ID>
</cac:TaxScheme></cac:PartyTaxScheme></cac:Party></cac:AccountingSupplierParty><cac:TaxTotal><cbc:TaxAmount>19.00</cbc:TaxAmount>
<cac:TaxSubtotal/></cac:TaxTotal><cac:TaxTotal><cbc:TaxAmount>1.00</cbc:TaxAmount><cac:TaxSubtotal/></cac:TaxTotal></Invoice>""",
        says(
            number="SETP17",
            kind="credit_note",
            seller={"name": "Seller & Co", "vat_id": "800197268", "country": None},
        ),
    ),
    Sample(
        "oioxml",
        "ubl",
        "oioxml",
        """<Invoice xmlns="http://rep.oio.dk/ubl/xml/schemas/0p71/pcm/" xmlns:c="c"><c:ID>R-17</c:ID><c:IssueDate>2026-03-02</c:IssueDate>
<TypeCode>PCM</TypeCode><InvoiceCurrencyCode>DKK</InvoiceCurrencyCode><c:SellerParty><c:PartyName><c:Name>Seller &amp; Co</c:Name>
</c:PartyName><c:PartyTaxScheme><c:CompanyTaxID>DK16356706</c:CompanyTaxID></c:PartyTaxScheme></c:SellerParty><c:LegalTotals>
<c:LineExtensionTotalAmount>100.00</c:LineExtensionTotalAmount><c:ToBePaidTotalAmount>119.00</c:ToBePaidTotalAmount></c:LegalTotals>
</Invoice>""",
        says(
            number="R-17",
            issue_date="2026-03-02",
            kind="credit_note",
            currency="DKK",
            net="100.00",
            payable="119.00",
            seller={"name": "Seller & Co", "vat_id": "DK16356706", "country": None},
        ),
    ),
    Sample(
        "fatturapa, simplified",
        "fatturapa",
        "FSM10",
        """<p:FatturaElettronicaSemplificata xmlns:p="http://ivaservizi.agenziaentrate.gov.it/docs/xsd/fatture/v1.0" versione="FSM10">
<FatturaElettronicaHeader><CedentePrestatore><IdFiscaleIVA><IdPaese>IT</IdPaese><IdCodice>01234567890</IdCodice></IdFiscaleIVA>
<Denominazione>Seller &amp; Co</Denominazione><Sede><Nazione>IT</Nazione></Sede></CedentePrestatore></FatturaElettronicaHeader>
<FatturaElettronicaBody><DatiGenerali><DatiGeneraliDocumento><TipoDocumento>TD08</TipoDocumento><Divisa>EUR</Divisa>
<Data>2026-03-02</Data><Numero>R-17</Numero></DatiGeneraliDocumento></DatiGenerali><DatiBeniServizi><Importo>119.00</Importo>
<DatiIVA><Imposta>19.00</Imposta></DatiIVA></DatiBeniServizi></FatturaElettronicaBody></p:FatturaElettronicaSemplificata>""",
        says(
            number="R-17",
            issue_date="2026-03-02",
            kind="credit_note",
            currency="EUR",
            tax="19.00",
            gross="119.00",
            seller={"name": "Seller & Co", "vat_id": "01234567890", "country": "IT"},
        ),
    ),
    Sample(
        "eslog 1.6",
        "eslog",
        "1.6",
        """<IzdaniRacunEnostavni><Racun Id="data"><GlavaRacuna><VrstaRacuna>380</VrstaRacuna><StevilkaRacuna>R-17</StevilkaRacuna>
</GlavaRacuna><DatumiRacuna><VrstaDatuma>137</VrstaDatuma><DatumRacuna>2026-03-02T00:00:00</DatumRacuna></DatumiRacuna><Valuta>
<VrstaValuteRacuna>2</VrstaValuteRacuna><KodaValute>EUR</KodaValute></Valuta><PodatkiPodjetja><NazivNaslovPodjetja>
<VrstaPartnerja>BY</VrstaPartnerja><NazivPartnerja><NazivPartnerja1>Buyer AG</NazivPartnerja1></NazivPartnerja>
</NazivNaslovPodjetja></PodatkiPodjetja><PodatkiPodjetja><NazivNaslovPodjetja><VrstaPartnerja>SE</VrstaPartnerja><NazivPartnerja>
<NazivPartnerja1>Seller &amp; Co</NazivPartnerja1></NazivPartnerja></NazivNaslovPodjetja><ReferencniPodatkiPodjetja>
<VrstaPodatkaPodjetja>VA</VrstaPodatkaPodjetja><PodatekPodjetja>SI12345678</PodatekPodjetja></ReferencniPodatkiPodjetja>
</PodatkiPodjetja><PovzetekZneskovRacuna><ZneskiRacuna><VrstaZneska>79</VrstaZneska><ZnesekRacuna>100.00</ZnesekRacuna>
</ZneskiRacuna><SklicZaPlacilo><SklicPlacila>PQ</SklicPlacila><StevilkaSklica>SI0017</StevilkaSklica></SklicZaPlacilo>
</PovzetekZneskovRacuna><PovzetekZneskovRacuna><ZneskiRacuna><VrstaZneska>9</VrstaZneska><ZnesekRacuna>119.00</ZnesekRacuna>
</ZneskiRacuna></PovzetekZneskovRacuna></Racun></IzdaniRacunEnostavni>""",
        says(
            number="R-17",
            issue_date="2026-03-02",
            kind="invoice",
            currency="EUR",
            net="100.00",
            payable="119.00",
            seller={"name": "Seller & Co", "vat_id": "SI12345678", "country": None},
            buyer={"name": "Buyer AG", "vat_id": None, "country": None},
            payment_reference="SI0017",
        ),
    ),
)
XML_SAMPLES = (*AMERICAS, *WRAPPED, *BUSINESS, *OLDER)
OTHER_SAMPLES = (*EDI, *JSON)
