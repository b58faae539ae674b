"""Expressions over manifests: the Common Expression Language (https://cel.dev), as Kubernetes uses it.

It uses Google's cel-expr-python (C++), which checks types when an expression is compiled, reports line and column, is
the fastest, matches regular expressions in linear time, and stops an expression that runs too long. The alternatives
were cel-python (pure Python, slow) and common-expression-language (Rust; checks types only while it runs).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cel_expr_python import cel  # type: ignore[import-untyped] # its stubs are not marked as such

LONGEST = 4096  # characters
_NAME = re.compile(r"[A-Za-z_]\w*")
_ERROR = re.compile(r"ERROR: [^:]*:(\d+):(\d+): ([^\n]*)")
_CODE = re.compile(r"\A[A-Z_]+: |\s*\[[A-Z_]+\]\Z")  # of the status, as in [NOT_FOUND]
_SELECT, _NULL = "Applying SELECT to non-message type", "a field is asked of what is null"
_CONTAINER = " (in container '')"


class ExpressionError(ValueError):
    """An expression is invalid; the message gives the position and does not quote the expression."""


class Expression:
    """A condition on a manifest.

    Args:
        text: in CEL; its result is true or false.

    Raises:
        ExpressionError: the expression is invalid, or the extra that evaluates it is not installed.
    """

    def __init__(self, text: str) -> None:
        self._environment, self._types = _environment()
        try:
            self._compiled = self._environment.compile(text)
        except RuntimeError as error:
            raise ExpressionError(_where(str(error))) from None
        # Each value that is handed over costs time, so these are only those that the expression may name.
        named = frozenset(_NAME.findall(text))
        self._used = [(name, default) for name, default in _fields().items() if name in named]
        if self._compiled.return_type() not in (self._types.BOOL, self._types.DYN):
            raise ExpressionError("must be true or false, as in documents.exists(d, d.kind == 'invoice')")

    def matches(self, manifest: Mapping[str, Any], event: str = "") -> bool | None:
        """Return whether a manifest meets the condition; None if the expression cannot be evaluated.

        Evaluation fails on a missing field (`envelope.return_path` where `envelope` is null), and when it runs
        too long.

        Args:
            manifest: as JSON.
            event: `received`, `updated`, `oversize` or `failed`.
        """
        try:
            result = self._evaluate(manifest, event).value()
        except RuntimeError:
            return None
        return result if isinstance(result, bool) else None

    def failure(self, manifest: Mapping[str, Any], event: str = "") -> str | None:
        """Return why it cannot be evaluated on a manifest, in CEL's words; None if it can."""
        try:
            result = self._evaluate(manifest, event)
        except RuntimeError as error:
            return _CODE.sub("", str(error))
        if result.type() == self._types.ERROR:
            reason = _CODE.sub("", str(result.value()))
            return _NULL if reason == _SELECT else reason
        return None if isinstance(result.value(), bool) else "the result is neither true nor false"

    def _evaluate(self, manifest: Mapping[str, Any], event: str) -> Any:
        values = {name: manifest.get(name, default) for name, default in self._used}
        values["event"] = event
        return self._compiled.eval(data=values)


@lru_cache(maxsize=1)
def _fields() -> dict[str, Any]:
    """Return what an expression can name besides `event`: the fields of the manifest, with their defaults."""
    from ingest.domain.manifest import Manifest  # noqa: PLC0415 - most configurations have no expression

    return {
        field.alias or name: None if field.is_required() else field.get_default(call_default_factory=True)
        for name, field in Manifest.model_fields.items()
    }


@lru_cache(maxsize=1)
def _environment() -> tuple[cel.Env, type[cel.Type]]:
    try:
        from cel_expr_python import cel  # noqa: PLC0415 - of the extra
    except ImportError:
        raise ExpressionError("needs an extra: pip install 'mailhaul[rules]'") from None
    return cel.NewEnv(variables=dict.fromkeys((*_fields(), "event"), cel.Type.DYN)), cel.Type


def _where(message: str) -> str:
    found = _ERROR.search(message)
    if found is None:
        return "is no valid CEL expression"
    line, column, reason = found.groups()
    return f"line {line}, column {column}: {_CODE.sub('', reason.replace(_CONTAINER, ''))}"
