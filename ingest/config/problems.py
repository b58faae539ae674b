"""Turn pydantic's errors into remedies. No value is ever quoted: it may be a secret."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError

from ingest.config.model import Config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails

    from ingest.config.document import Steps

_WORDS = {
    "string_type": "must be text; put it in quotes",
    "list_type": "must be a list: one line beginning with `- ` for each entry",
    "model_type": "must be a mapping: indented lines such as `name: value`",
    "model_attributes_type": "must be a mapping: indented lines such as `name: value`",
    "dict_type": "must be a mapping: indented lines such as `name: value`",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "path_type": "must be the path of a file or folder",
    "missing": "is missing; add it",
    "literal_error": "must be one of: {expected}",
    "enum": "must be one of: {expected}",
    "union_tag_invalid": "must be one of: {expected_tags}",
    "union_tag_not_found": "is missing; add it",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    "too_long": "must not have more than {max_length} entries",
    "string_too_long": "must not have more than {max_length} characters",
    "string_too_short": "must not be empty",
}
# What other programs call an option.
_ELSEWHERE = {
    "ssl": "tls",
    "use_ssl": "tls",
    "starttls": "tls",
    "server": "host",
    "user": "username",
    "login": "username",
    "pass": "password",
    "mail": "username",
    "delete": "policy",
    "keep": "policy",
    "verify": "ca",
    "poll_interval": "interval",
}
# The patterns of options, in words.
_PATTERNS = {
    "sha256": "write the 64 hex digits that `mailhaul token NAME` prints",
    "senders": "write addresses such as billing@example.org, or @example.org for a whole domain",
    "tenant": "write the id or a domain of the directory",
    "topic": "write at most 249 letters, digits, dots, dashes and underscores",
    "id": "write at most 64 lower-case letters, digits, dots, dashes and underscores, the first a letter or digit",
    "prefix": "write names of letters, digits, dots, dashes and underscores, with single slashes between them",
}


def found_in(error: ValidationError, data: dict[str, Any]) -> Iterator[tuple[Steps, str]]:
    """Yield each problem as path and remedy.

    Args:
        error: from validating a `Config`.
        data: the validated data.
    """
    for detail in error.errors(include_url=False, include_input=False):
        steps = _steps(detail, data)
        yield steps, _words(steps, detail, data)


def _steps(detail: ErrorDetails, data: Any) -> Steps:
    """Return the path as written, without the steps that pydantic adds for unions and short forms."""
    steps: list[str | int] = []
    is_new = True
    for step in detail["loc"]:
        if isinstance(data, dict):
            # In a section that has types, pydantic's first step is the type. An option may have the same name.
            if is_new and _has_types(steps) and step == data.get("type"):
                is_new = False
                continue
            is_new = True
            steps.append(step)
            data = data.get(step)
        elif isinstance(data, list) and isinstance(step, int) and step < len(data):
            steps.append(step)
            data = data[step]
        elif isinstance(data, dict | list):
            break
    if detail["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        steps.append("type")
    return tuple(steps)


def _has_types(steps: list[str | int]) -> bool:
    """Return whether the section at a path has several types: a sink or a login."""
    return steps[-1:] == ["auth"] or (steps[:1] == ["sinks"] and len(steps) == len(("sinks", 0)))


def _words(steps: Steps, detail: ErrorDetails, data: dict[str, Any]) -> str:
    if detail["type"] == "extra_forbidden":
        return _unknown_option(str(steps[-1]), sorted(_options(steps[:-1], data)))
    if detail["type"] == "string_pattern_mismatch":
        option = next(step for step in reversed(steps) if isinstance(step, str))
        return _PATTERNS.get(option, _PATTERNS["id"])
    context = detail.get("ctx", {})
    if detail["type"] == "value_error":
        return str(context["error"])
    words = _WORDS.get(detail["type"], "is not valid; see docs/configuration-reference.md")
    return words.format(**{name: _listed(str(value)) for name, value in context.items()})


def _listed(expected: str) -> str:
    """Return pydantic's `'a', 'b' or 'c'` without quotes."""
    return expected.replace("'", "").replace(" or ", ", ")


def _unknown_option(name: str, options: list[str]) -> str:
    known = _ELSEWHERE.get(name.lower(), "")
    close = [known] if known in options else difflib.get_close_matches(name, options, 1)
    meant = f"did you mean `{close[0]}`? " if close else ""
    return f"is not an option; {meant}possible here: {', '.join(options)}"


def _options(steps: Steps, data: dict[str, Any]) -> list[str]:
    """Return the options of the section at a path."""
    sections: list[type[BaseModel]] = [Config]
    value: Any = data
    for step in steps:
        value = value[step]
        if isinstance(step, str):
            sections = list(_sections(sections[0].model_fields[step].annotation))
        if len(sections) > 1 and isinstance(value, dict):
            sections = [section for section in sections if value["type"] in _types(section)]
    return list(sections[0].model_fields)


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _sections(argument)


def _types(section: type[BaseModel]) -> tuple[Any, ...]:
    return get_args(section.model_fields["type"].annotation)
