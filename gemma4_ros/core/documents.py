# SPDX-License-Identifier: Apache-2.0
"""Hold a parsed document against a JSON Schema and say what is wrong as a person would."""

from __future__ import annotations

import difflib
from typing import Any

import jsonschema

from gemma4_ros.core.errors import ConfigError
from gemma4_ros.core.strict_yaml import Document, parse

# No reference in our schemas leaves the document; the empty registry makes that a rule.
_VALIDATOR = jsonschema.Draft202012Validator


def load(text: str, source: str, schema: dict[str, Any], error: type[ConfigError]) -> Document:
    """Parse YAML and validate it; raise ``error`` with file, line, path, what is wrong and the nearest right name."""
    document = parse(text, source, error)
    problem = jsonschema.exceptions.best_match(_VALIDATOR(schema).iter_errors(document.root))
    if problem is not None:
        path = tuple(problem.absolute_path)
        raise error(f'{document.at(path)}: {_explain(problem)}')
    return document


def suggest(word: str, known: list[str] | tuple[str, ...]) -> str:
    """Return ``; did you mean 'x'?``, or the known names where none is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    if near:
        return f'; did you mean {near[0]!r}?'
    return f'; known are {", ".join(sorted(known)[:12])}' if known else ''


def _explain(problem: jsonschema.ValidationError) -> str:
    schema, value = problem.schema, problem.instance
    wanted: Any = problem.validator_value
    assert isinstance(schema, dict)
    if problem.validator == 'additionalProperties' and isinstance(value, dict):
        known = list(schema.get('properties', {}))
        extra = [key for key in value if key not in known]
        return f'unknown key {extra[0]!r}{suggest(extra[0], known)}' if extra else problem.message
    if problem.validator == 'required' and isinstance(value, dict):
        missing = [key for key in wanted if key not in value]
        return f'{missing[0]!r} is missing'
    if problem.validator == 'enum':
        return f'{value!r} is not taken{suggest(str(value), [str(v) for v in wanted])}'
    if problem.validator == 'pattern' or (problem.validator == 'propertyNames'):
        return f'{value!r} is not a name: lower-case letters, digits and _, starting with a letter, at most 32'
    return problem.message
