# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of config/interfaces.yaml."""

from __future__ import annotations

from typing import Any

from gemma4_ros.core.schemas import DRAFT, ID, TYPE_NAME

__all__ = ['EACH', 'INTERFACES', 'ROLES', 'SOURCES']

Schema = dict[str, Any]

EACH = 'each'
SOURCES = ('tools.actions', 'tools.services', 'policy.signals', 'world.pose', 'world.cameras', 'recorder.topics')
"""What a name that begins with ``$`` is replaced by: as many names as the robot's own files have."""

ROLES = {
    'publishes': 'msg',
    'subscribes': 'msg',
    'serves': 'srv',
    'calls': 'srv',
    'executes': 'action',
    'sends_goals': 'action',
}
"""What a node does with a name, and the folder that the name's type lies in."""

NAME = r'^(~/|/)?[a-z][a-z0-9_]*(/[a-z_][a-z0-9_]*)*$'
PLACEHOLDER = r'^\$(' + '|'.join(source.replace('.', r'\.') for source in SOURCES) + r')(/[a-z_][a-z0-9_]*)*$'


def _object(properties: Schema, required: tuple[str, ...] = ()) -> Schema:
    return {'type': 'object', 'properties': properties, 'required': list(required), 'additionalProperties': False}


_NAMES: Schema = {
    'type': 'object',
    'propertyNames': {'type': 'string', 'anyOf': [{'pattern': NAME}, {'pattern': PLACEHOLDER}], 'maxLength': 160},
    'additionalProperties': {
        'anyOf': [{'type': 'string', 'pattern': TYPE_NAME}, {'const': EACH}],
        'description': 'a type of an interface (package/msg/Name), or the word each after a name with $',
    },
    'maxProperties': 128,
}
_ROLES: Schema = dict.fromkeys(ROLES, _NAMES)
_NODE = _object({'lifecycle': {'type': 'boolean'}, **_ROLES, 'later': _object(_ROLES)})

INTERFACES: Schema = {
    '$schema': DRAFT,
    'title': 'gemma4_ros interfaces, version 1',
    **_object(
        {
            'interfaces': {'const': '1'},
            'every': _object(_ROLES),
            'lifecycle': _object(_ROLES),
            'nodes': {
                'type': 'object',
                'propertyNames': {'type': 'string', 'pattern': ID},
                'additionalProperties': _NODE,
                'minProperties': 1,
                'maxProperties': 64,
            },
        },
        ('interfaces', 'every', 'lifecycle', 'nodes'),
    ),
}
