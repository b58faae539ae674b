"""National formats of Latin America; Colombia and Peru use UBL."""

from __future__ import annotations

from dataclasses import replace

from ingest.invoices.rules import XmlFormat

CFDI = XmlFormat(
    "cfdi",
    "CFDI 4.0 and 3.3, Anexo 20, http://www.sat.gob.mx/sitio_internet/cfd/4/cfdv40.xsd; 3.2 in lower case",
    {"Comprobante": ""},
    r"http://www\.sat\.gob\.mx/cfd/(?P<version>[2-9])",
    {
        "profile": ("@Version", "@version"),
        "number": ("@Folio", "@folio", "Complemento/TimbreFiscalDigital/@UUID"),
        "issue_date": ("@Fecha", "@fecha"),
        "kind": ("@TipoDeComprobante", "@tipoDeComprobante"),
        "currency": ("@Moneda", "@moneda"),
        "net": ("@SubTotal", "@subTotal"),
        "tax": ("Impuestos/@TotalImpuestosTrasladados", "Impuestos/@totalImpuestosTrasladados"),
        "gross": ("@Total", "@total"),
        "payable": ("@Total", "@total"),
        "seller.name": ("Emisor/@Nombre", "Emisor/@nombre"),
        "seller.vat_id": ("Emisor/@Rfc", "Emisor/@rfc"),
        "seller.country": ("Emisor/DomicilioFiscal/@pais",),
        "buyer.name": ("Receptor/@Nombre", "Receptor/@nombre"),
        "buyer.vat_id": ("Receptor/@Rfc", "Receptor/@rfc"),
        "buyer.country": ("Receptor/@ResidenciaFiscal", "Receptor/Domicilio/@pais"),
    },
    kind={"Comprobante": "invoice"},
    kinds={
        "I": "invoice",
        "E": "credit_note",
        "T": "transport_document",
        "N": "payroll",
        "P": "payment_receipt",
        "INGRESO": "invoice",
        "EGRESO": "credit_note",
        "TRASLADO": "transport_document",
    },
)


def _nfe_party(role: str, party: str, address: str) -> dict[str, str | tuple[str, ...]]:
    return {
        f"{role}.name": f"infNFe/{party}/xNome",
        f"{role}.vat_id": tuple(f"infNFe/{party}/{name}" for name in ("CNPJ", "CPF", "idEstrangeiro")),
        f"{role}.country": f"infNFe/{party}/{address}/xPais",
    }


NFE = XmlFormat(
    "nfe",
    "NF-e 4.00 and NFC-e, Manual de Orientação do Contribuinte 7.0, http://www.portalfiscal.inf.br/nfe",
    {"nfeProc": "NFe", "NFe": "", "enviNFe": "NFe", "procNFe": "NFe"},
    r"http://www\.portalfiscal\.inf\.br/nfe",
    {
        "profile": ("infNFe/@versao", "/@versao"),
        "number": "infNFe/ide/nNF",
        "issue_date": ("infNFe/ide/dhEmi", "infNFe/ide/dEmi"),
        "due_date": "infNFe/cobr/dup/dVenc",
        "kind": "infNFe/ide/finNFe",
        "net": "infNFe/total/ICMSTot/vProd",
        "gross": "infNFe/total/ICMSTot/vNF",
        "payable": "infNFe/cobr/fat/vLiq",
        **_nfe_party("seller", "emit", "enderEmit"),
        **_nfe_party("buyer", "dest", "enderDest"),
        "order_reference": "infNFe/compra/xPed",
    },
    kind={"nfeProc": "invoice", "NFe": "invoice", "enviNFe": "invoice", "procNFe": "invoice"},
    # finNFe: 1 normal, 2 complementary, 3 adjustment, 4 goods sent back, 5 credit, 6 debit
    kinds={
        "1": "invoice",
        "2": "debit_note",
        "3": "corrected_invoice",
        "4": "credit_note",
        "5": "credit_note",
        "6": "debit_note",
    },
)

_INF = "infNFSe"
_DPS = f"{_INF}/DPS/infDPS"

NFSE = XmlFormat(
    "nfse",
    "NFS-e padrão nacional 1.00, https://www.gov.br/nfse, leiaute NFSe/DPS",
    {"NFSe": "", "DPS": "", "ListaNfse": "NFSe|Nfse/NFSe|CompNfse/NFSe"},
    r"http://www\.sped\.fazenda\.gov\.br/nfse",
    {
        "profile": ("@versao", f"{_INF}/DPS/@versao"),
        "number": (f"{_INF}/nNFSe", "infDPS/nDPS"),
        "issue_date": (f"{_DPS}/dhEmi", "infDPS/dhEmi", f"{_INF}/dhEmi", f"{_INF}/dhProc"),
        "net": (f"{_DPS}/valores/vServPrest/vServ", "infDPS/valores/vServPrest/vServ"),
        "tax": f"{_INF}/valores/vISSQN",
        "payable": f"{_INF}/valores/vLiq",
        "seller.name": (f"{_INF}/emit/xNome", f"{_DPS}/prest/xNome", "infDPS/prest/xNome"),
        "seller.vat_id": tuple(
            f"{party}/{name}"
            for party in (f"{_INF}/emit", f"{_DPS}/prest", f"{_INF}/prest", "infDPS/prest")
            for name in ("CNPJ", "CPF")
        ),
        "buyer.name": (f"{_DPS}/toma/xNome", "infDPS/toma/xNome", f"{_INF}/toma/xNome"),
        "buyer.vat_id": tuple(
            f"{party}/toma/{name}" for party in (_DPS, "infDPS", _INF) for name in ("CNPJ", "CPF", "NIF")
        ),
        "buyer.country": (f"{_DPS}/toma/end/endExt/cPais", "infDPS/toma/end/endExt/cPais"),
    },
    kind={"NFSe": "invoice", "DPS": "invoice", "ListaNfse": "invoice"},
    profile="1.00",
)

_NFSE_PARTY = (
    "IdentificacaoPrestador/CpfCnpj/Cnpj",
    "IdentificacaoPrestador/CpfCnpj/Cpf",
    "IdentificacaoPrestador/Cnpj",
)
_DECLARED = "DeclaracaoPrestacaoServico/InfDeclaracaoPrestacaoServico"
_ABRASF_NOTE = "Nfse/InfNfse"

_ABRASF_ROOTS = {
    "CompNfse": "",
    "ListaNfse": "CompNfse|ComplNfse",
    "Nfse": "",
    **dict.fromkeys(
        (
            "ConsultarNfseResposta",
            "ConsultarLoteRpsResposta",
            "ConsultarNfseFaixaResposta",
            "ConsultarNfsePorFaixaResposta",
            "ConsultarNfseServicoPrestadoResposta",
            "ConsultarNfseServicoTomadoResposta",
            "GerarNfseResposta",
            "EnviarLoteRpsSincronoResposta",
        ),
        "ListaNfse/CompNfse",
    ),
    **dict.fromkeys(("ConsultarNfseRpsResposta", "ConsultarNfsePorRpsResposta"), "CompNfse"),
}

NFSE_ABRASF = XmlFormat(
    "nfse",
    "NFS-e ABRASF 2.04 and 1.00, http://www.abrasf.org.br/nfse.xsd, of municipal systems",
    _ABRASF_ROOTS,
    r"http://(?:www\.)?(?:abrasf\.org|ginfes\.com)\.br/.*",
    {
        "profile": (f"{_ABRASF_NOTE}/@versao", "Nfse/@versao", "@versao"),
        **{
            slot: tuple(f"{note}/{path}" for note in (_ABRASF_NOTE, "InfNfse") for path in paths)
            for slot, paths in {
                "number": ("Numero",),
                "issue_date": ("DataEmissao",),
                "net": ("ValoresNfse/BaseCalculo", "Servico/Valores/BaseCalculo"),
                "tax": ("ValoresNfse/ValorIss", "Servico/Valores/ValorIss"),
                "gross": (f"{_DECLARED}/Servico/Valores/ValorServicos", "Servico/Valores/ValorServicos"),
                "payable": ("ValoresNfse/ValorLiquidoNfse", "Servico/Valores/ValorLiquidoNfse"),
                "seller.name": ("PrestadorServico/RazaoSocial",),
                "seller.vat_id": (
                    *(f"PrestadorServico/{path}" for path in _NFSE_PARTY),
                    f"{_DECLARED}/Prestador/CpfCnpj/Cnpj",
                ),
                "buyer.name": (
                    f"{_DECLARED}/Tomador/RazaoSocial",
                    f"{_DECLARED}/TomadorServico/RazaoSocial",
                    "TomadorServico/RazaoSocial",
                ),
                "buyer.vat_id": tuple(
                    f"{tomador}/IdentificacaoTomador/CpfCnpj/{name}"
                    for tomador in (f"{_DECLARED}/Tomador", f"{_DECLARED}/TomadorServico", "TomadorServico")
                    for name in ("Cnpj", "Cpf")
                ),
            }.items()
        },
    },
    kind=dict.fromkeys(_ABRASF_ROOTS, "invoice"),
    profile="abrasf",
)
# Many towns leave the namespace out, or have one of their own.
NFSE_ABRASF_NEAR = replace(
    NFSE_ABRASF,
    namespace=".*",
    likely=True,
    proof=True,
    paths={
        **NFSE_ABRASF.paths,
        "proof": ("Nfse/InfNfse->there", "InfNfse->there"),
    },
)

NFSE_SAO_PAULO = XmlFormat(
    "nfse",
    "NFS-e of São Paulo, Manual de utilização do web service 2.7, https://nfe.prefeitura.sp.gov.br",
    {"RetornoConsulta": "NFe", "NFe": ""},
    r"(?:http://www\.prefeitura\.sp\.gov\.br/nfe)?",
    {
        "proof": "ChaveNFe/NumeroNFe",
        "number": "ChaveNFe/NumeroNFe",
        "issue_date": "DataEmissaoNFe",
        "gross": "ValorServicos",
        "tax": "ValorISS",
        "seller.name": "RazaoSocialPrestador",
        "seller.vat_id": ("CPFCNPJPrestador/CNPJ", "CPFCNPJPrestador/CPF"),
        "buyer.name": "RazaoSocialTomador",
        "buyer.vat_id": ("CPFCNPJTomador/CNPJ", "CPFCNPJTomador/CPF"),
    },
    kind={"RetornoConsulta": "invoice", "NFe": "invoice"},
    profile="sao_paulo",
    proof=True,
)


def _dte(document: str) -> dict[str, str]:
    head = f"{document}/Encabezado"
    return {
        "number": f"{head}/IdDoc/Folio",
        "issue_date": f"{head}/IdDoc/FchEmis",
        "due_date": f"{head}/IdDoc/FchVenc",
        "kind": f"{head}/IdDoc/TipoDTE",
        "currency": f"{head}/Totales/TpoMoneda",
        "net": f"{head}/Totales/MntNeto",
        "tax": f"{head}/Totales/IVA",
        "gross": f"{head}/Totales/MntTotal",
        "payable": f"{head}/Totales/VlrPagar",
        "seller.name": f"{head}/Emisor/RznSoc",
        "seller.vat_id": f"{head}/Emisor/RUTEmisor",
        "buyer.name": f"{head}/Receptor/RznSocRecep",
        "buyer.vat_id": f"{head}/Receptor/RUTRecep",
        "buyer.country": f"{head}/Receptor/Extranjero/Nacionalidad",
        "order_reference": f"{document}/Referencia[TpoDocRef=801]/FolioRef",
    }


_DTE_DOCUMENTS = [_dte(document) for document in ("Documento", "Exportaciones", "Liquidacion")]
_DTE_PATHS: dict[str, str | tuple[str, ...]] = {
    "profile": ("/@version", "@version"),
    **{slot: tuple(paths[slot] for paths in _DTE_DOCUMENTS) for slot in _DTE_DOCUMENTS[0]},
}

DTE = XmlFormat(
    "dte_cl",
    "DTE 1.0, Servicio de Impuestos Internos, https://www.sii.cl/factura_electronica/formato_dte.pdf",
    {"EnvioDTE": "SetDTE/DTE", "EnvioBOLETA": "SetDTE/DTE", "DTE": "", "SetDTE": "DTE"},
    r"http://www\.sii\.cl/SiiDte",
    {**_DTE_PATHS, "seller.name": (*_DTE_PATHS["seller.name"], "Documento/Encabezado/Emisor/RznSocEmisor")},
    kind={"EnvioDTE": "invoice", "EnvioBOLETA": "receipt", "DTE": "invoice", "SetDTE": "invoice"},
    kinds={
        "33": "invoice",
        "34": "invoice",
        "39": "receipt",
        "41": "receipt",
        "43": "self_billed_invoice",
        "46": "self_billed_invoice",
        "52": "delivery_note",
        "56": "debit_note",
        "61": "credit_note",
        "110": "invoice",
        "111": "debit_note",
        "112": "credit_note",
    },
    profile="1.0",
)
DTE_PLAIN = replace(DTE, namespace="", proof=True, paths={**DTE.paths, "proof": "Documento/Encabezado/IdDoc/TipoDTE"})

_SRI_INFO = ("infoFactura", "infoNotaCredito", "infoNotaDebito", "infoLiquidacionCompra")


def _sri(*names: str) -> tuple[str, ...]:
    return tuple(f"{info}/{name}" for info in _SRI_INFO for name in names)


SRI = XmlFormat(
    "sri_ec",
    "Comprobantes electrónicos, esquema offline 2.x, https://www.sri.gob.ec/facturacion-electronica",
    {"factura": "", "notaCredito": "", "notaDebito": "", "liquidacionCompra": ""},
    "",
    {
        "proof": ("infoTributaria->there", "@id"),
        "profile": "@version",
        "number": "infoTributaria/secuencial",
        "issue_date": _sri("fechaEmision"),
        "net": _sri("totalSinImpuestos"),
        "tax": (
            *(f"{info}/totalConImpuestos/totalImpuesto/valor!" for info in _SRI_INFO),
            "infoNotaDebito/impuestos/impuesto/valor!",
        ),
        "gross": _sri("importeTotal", "valorModificacion", "valorTotal"),
        "seller.name": "infoTributaria/razonSocial",
        "seller.vat_id": "infoTributaria/ruc",
        "buyer.name": _sri("razonSocialComprador", "razonSocialProveedor"),
        "buyer.vat_id": _sri("identificacionComprador", "identificacionProveedor"),
    },
    kind={
        "factura": "invoice",
        "notaCredito": "credit_note",
        "notaDebito": "debit_note",
        "liquidacionCompra": "self_billed_invoice",
    },
    order="dmy",
    proof=True,
)

_CR_ROOTS = {
    "FacturaElectronica": "invoice",
    "NotaCreditoElectronica": "credit_note",
    "NotaDebitoElectronica": "debit_note",
    "TiqueteElectronico": "receipt",
    "FacturaElectronicaCompra": "self_billed_invoice",
    "FacturaElectronicaExportacion": "invoice",
    "ReciboElectronicoPago": "payment_receipt",
}

COSTA_RICA = XmlFormat(
    "fe_cr",
    "Comprobantes electrónicos 4.3 and 4.4, https://www.hacienda.go.cr/ATV/ComprobanteElectronico, esquemas",
    dict.fromkeys(_CR_ROOTS, ""),
    r"https?://[a-z.]*(?:comprobanteselectronicos|hacienda)\.go\.cr/[^ ]*?v(?P<version>4\.[0-9])/[A-Za-z]+",
    {
        "number": ("NumeroConsecutivo", "Clave"),
        "issue_date": "FechaEmision",
        "currency": ("ResumenFactura/CodigoTipoMoneda/CodigoMoneda", "ResumenFactura/CodigoMoneda"),
        "net": "ResumenFactura/TotalVentaNeta",
        "tax": "ResumenFactura/TotalImpuesto",
        "gross": "ResumenFactura/TotalComprobante",
        "payable": "ResumenFactura/TotalComprobante",
        "seller.name": "Emisor/Nombre",
        "seller.vat_id": "Emisor/Identificacion/Numero",
        "buyer.name": "Receptor/Nombre",
        "buyer.vat_id": ("Receptor/Identificacion/Numero", "Receptor/IdentificacionExtranjero"),
    },
    kind=_CR_ROOTS,
)
