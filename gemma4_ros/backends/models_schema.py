# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of config/models.yaml; config/schema/models-1.json is written from it and checked for drift."""

from __future__ import annotations

from typing import Any

__all__ = ['MODELS']

Schema = dict[str, Any]


def _object(properties: Schema, optional: tuple[str, ...] = ()) -> Schema:
    required = [key for key in properties if key not in optional]
    return {'type': 'object', 'properties': properties, 'required': required, 'additionalProperties': False}


_ID: Schema = {'type': 'string', 'pattern': '^[a-z0-9][a-z0-9_]{0,31}$'}
_TEXT: Schema = {'type': 'string', 'minLength': 1, 'maxLength': 200}
_FILE: Schema = {'type': 'string', 'pattern': r'^[A-Za-z0-9][A-Za-z0-9._-]{0,127}\.gguf$'}
_COUNT: Schema = {'type': ['integer', 'null'], 'minimum': 1}
_SHA256: Schema = {'type': ['string', 'null'], 'pattern': '^[0-9a-f]{64}$'}
_PACKAGES = _object(
    {
        'name': {'type': 'string', 'pattern': r'^[A-Za-z0-9._-]+\{n\}$'},
        'version': {'type': 'string', 'pattern': r'^[0-9][0-9A-Za-z.]*$'},
        'parts': {'type': 'integer', 'minimum': 1, 'maximum': 1000},
    }
)
_HUB = _object(
    {
        'repository': {'type': 'string', 'pattern': r'^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$'},
        'revision': {'type': 'string', 'pattern': '^([0-9a-f]{40}|main)$'},
    }
)
_SOURCE: Schema = {
    **_object({'packages': _PACKAGES, 'hub': _HUB}, ('packages', 'hub')),
    'minProperties': 1,
    'maxProperties': 1,
}
_PROFILE = _object(
    {
        'name': _TEXT,
        'doc': _TEXT,
        'licence': _TEXT,
        'file': _FILE,
        'size_bytes': _COUNT,
        'sha256': _SHA256,
        'source': _SOURCE,
        'modalities': {
            'type': 'array',
            'items': {'enum': ['text', 'image', 'audio']},
            'minItems': 1,
            'uniqueItems': True,
        },
        'context_tokens': {'type': 'integer', 'minimum': 512, 'maximum': 1048576},
        'trained_context_tokens': _COUNT,
        'kv_bytes_per_token': _COUNT,
        'template': {'enum': ['gguf', 'chatml']},
        'projector': _object({'file': _FILE, 'size_bytes': _COUNT, 'sha256': _SHA256}),
    },
    ('template', 'projector'),
)

MODELS: Schema = {
    '$schema': 'https://json-schema.org/draft/2020-12/schema',
    'title': 'gemma4_ros models, version 1',
    **_object(
        {
            'models': {'const': '1'},
            'default': _ID,
            'profiles': {
                'type': 'object',
                'propertyNames': _ID,
                'additionalProperties': _PROFILE,
                'minProperties': 1,
                'maxProperties': 64,
            },
        }
    ),
}
