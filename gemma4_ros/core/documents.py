# SPDX-License-Identifier: Apache-2.0
"""Hold a parsed document against a JSON Schema and say what is wrong as a person would."""

from __future__ import annotations

import re
from typing import Any

import jsonschema

from gemma4_ros.core import schemas
from gemma4_ros.core.errors import ConfigError
from gemma4_ros.core.nearest import suggest
from gemma4_ros.core.strict_yaml import Document, parse

# No reference in our schemas leaves the document; the empty registry makes that a rule.
_VALIDATOR = jsonschema.Draft202012Validator
# What a pattern asks for, in words.
_FORMS = {
    schemas.ID: 'a name: lower-case letters, digits and _, starting with a letter, at most 32',
    schemas.TYPE_NAME: 'a type of an interface: write package/msg/Name, package/srv/Name or package/action/Name',
    schemas.INTERFACE_NAME: 'a ROS name: lower-case letters, digits, _ and /, starting with a letter, ~ or /',
    schemas.FIELD: 'a field: lower-case letters, digits, _ and ., starting with a letter',
}


def load(text: str, source: str, schema: dict[str, Any], error: type[ConfigError]) -> Document:
    """Parse YAML and validate it; raise ``error`` with file, line, path, what is wrong and the nearest right name."""
    document = parse(text, source, error)
    problem = jsonschema.exceptions.best_match(_VALIDATOR(schema).iter_errors(document.root))
    if problem is not None:
        raise error(f'{document.at(tuple(problem.absolute_path), _wrong_key(problem))}: {_explain(problem)}')
    return document


def _unknown(problem: jsonschema.ValidationError) -> list[str]:
    """Return the keys that the schema does not take."""
    schema, value = problem.schema, problem.instance
    if not isinstance(value, dict) or not isinstance(schema, dict) or schema.get('additionalProperties') is not False:
        return []
    known, patterns = schema.get('properties', {}), schema.get('patternProperties', {})
    return [key for key in value if key not in known and not any(re.search(pattern, key) for pattern in patterns)]


def _wrong_key(problem: jsonschema.ValidationError) -> str | None:
    """Return the key of the mapping that is itself what is wrong."""
    if problem.validator == 'additionalProperties':
        return next(iter(_unknown(problem)), None)
    is_name = len(problem.schema_path) > 1 and problem.schema_path[-2] == 'propertyNames'
    return str(problem.instance) if is_name else None


def _explain(problem: jsonschema.ValidationError) -> str:
    schema, value = problem.schema, problem.instance
    wanted: Any = problem.validator_value
    assert isinstance(schema, dict)
    known = list(schema.get('properties', {}))
    unknown = [f'unknown key {key!r}{suggest(key, known)}' for key in _unknown(problem)]
    if problem.validator == 'additionalProperties' and unknown:
        is_named = bool(schema.get('patternProperties'))  # any name is taken there: this is none
        return f'{_unknown(problem)[0]!r} is not {_FORMS[schemas.ID]}' if is_named else unknown[0]
    if problem.validator == 'required' and isinstance(value, dict):
        missing = [key for key in wanted if key not in value]
        return '; '.join([f'{missing[0]!r} is missing', *unknown[:1]])
    if problem.validator == 'enum':
        return f'{value!r} is not taken{suggest(str(value), [str(v) for v in wanted])}'
    if problem.validator == 'pattern' and wanted in _FORMS:
        return f'{value!r} is not {_FORMS[wanted]}'
    if problem.validator == 'anyOf' and 'description' in schema:
        return f'{value!r} is not taken; write {schema["description"]}'
    return problem.message
