# SPDX-License-Identifier: Apache-2.0
"""The JSON Schemas of world, tools, plan and watch; that of the policy is in gate/policy_schema.py.

config/schema/*.json are written from these by scripts/write_schemas.py; a test checks them for drift.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]
DRAFT = 'https://json-schema.org/draft/2020-12/schema'
ID = r'^[a-z][a-z0-9_]{0,31}$'
INTERFACE_NAME = r'^[a-z~/][a-z0-9_/]{0,127}$'
FIELD = r'^[a-z][a-z0-9_.]{0,63}$'
TYPE_NAME = r'^[a-z][a-z0-9_]*/(msg|srv|action)/[A-Z][A-Za-z0-9]*$'


def _object(properties: Schema, required: tuple[str, ...] = (), **extra: Any) -> Schema:
    return {
        'type': 'object',
        'properties': properties,
        'required': list(required),
        'additionalProperties': False,
        **extra,
    }


def _named(item: Schema, limit: int = 256) -> Schema:
    return {'type': 'object', 'propertyNames': {'pattern': ID}, 'additionalProperties': item, 'maxProperties': limit}


_ID: Schema = {'type': 'string', 'pattern': ID}
_DOC: Schema = {'type': 'string', 'minLength': 1, 'maxLength': 200}
_WORDS: Schema = {'type': 'array', 'items': {'type': 'string', 'minLength': 1, 'maxLength': 64}, 'maxItems': 32}
_UNIT: Schema = {'type': 'string', 'minLength': 1, 'maxLength': 16}
_NUMBER: Schema = {'type': 'number'}
_FACT: Schema = {'type': 'string', 'minLength': 3, 'maxLength': 200}
_NAMES: Schema = {'type': 'array', 'items': {'type': 'string'}, 'minItems': 1, 'maxItems': 16}
_INTERFACE_NAME: Schema = {'type': 'string', 'pattern': INTERFACE_NAME}
_DIAL = _object(
    {'min': _NUMBER, 'max': _NUMBER, 'start_deg': _NUMBER, 'end_deg': _NUMBER, 'camera': _ID},
    ('min', 'max', 'start_deg', 'end_deg', 'camera'),
)

WORLD: Schema = {
    '$schema': DRAFT,
    'title': 'gemma4_ros world, version 1',
    **_object(
        {
            'world': {'const': '1'},
            'name': _ID,
            'frame': {'type': 'string', 'minLength': 1, 'maxLength': 64},
            'robot': _object({'id': _ID, 'doc': _DOC, 'words': _WORDS}, ('id', 'doc')),
            'places': _named(
                _object(
                    {
                        'doc': _DOC,
                        'words': _WORDS,
                        'pose': _object(
                            {'x_m': _NUMBER, 'y_m': _NUMBER, 'yaw_rad': _NUMBER}, ('x_m', 'y_m', 'yaw_rad')
                        ),
                    },
                    ('doc',),
                )
            ),
            'objects': _named(
                _object(
                    {'doc': _DOC, 'words': _WORDS, 'place': _ID, 'mass_kg': {'type': 'number', 'exclusiveMinimum': 0}},
                    ('doc',),
                )
            ),
            'equipment': _named(
                _object(
                    {'kind': _ID, 'doc': _DOC, 'words': _WORDS, 'place': _ID, 'unit': _UNIT, 'dial': _DIAL},
                    ('kind', 'doc'),
                )
            ),
            'cameras': _named(
                _object(
                    {
                        'doc': _DOC,
                        'topic': _INTERFACE_NAME,
                        'type': {'enum': ['sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage']},
                        'max_age_s': {'type': 'number', 'exclusiveMinimum': 0},
                    },
                    ('topic', 'type', 'max_age_s'),
                )
            ),
            'signals': _named(
                _object(
                    {
                        'topic': _INTERFACE_NAME,
                        'type': {'type': 'string', 'pattern': TYPE_NAME},
                        'field': {'type': 'string', 'minLength': 1},
                        'unit': _UNIT,
                        'values': _NAMES,
                        'max_age_s': {'type': 'number', 'exclusiveMinimum': 0},
                    },
                    ('topic', 'type', 'field', 'max_age_s'),
                )
            ),
            'functions': _named(
                _object(
                    {'of': {'type': 'array', 'items': _NAMES, 'maxItems': 3}, 'value': _NAMES, 'doc': _DOC},
                    ('of', 'value'),
                )
            ),
            'initial': {'type': 'array', 'items': _FACT, 'maxItems': 1024},
        },
        ('world', 'name', 'frame', 'robot', 'functions', 'initial'),
    ),
}

_ARG: Schema = {
    'type': 'object',
    'properties': {
        'enum': {
            'description': (
                'a group of the world (world.places, world.objects, world.equipment.KIND), or a list of names'
            ),
            'anyOf': [{'type': 'string'}, _NAMES],
        },
        'named': {
            'description': 'names for parts of the goal, such as trajectories that a person has tried: $arg.value',
            'type': 'object',
            'propertyNames': {'pattern': ID},
            'additionalProperties': {'type': ['object', 'array']},
            'minProperties': 1,
            'maxProperties': 32,
        },
        'type': {'enum': ['number', 'integer', 'boolean']},
        'doc': _DOC,
        'min': _NUMBER,
        'max': _NUMBER,
        'step': {'type': 'number', 'exclusiveMinimum': 0},
        'unit': _UNIT,
    },
    'additionalProperties': False,
}
_RETURN = _object(
    {'field': {'type': 'string'}, 'type': {'enum': ['number', 'integer', 'boolean', 'string']}, 'unit': _UNIT},
    ('field', 'type'),
)

_TOOL = _object(
    {
        'doc': _DOC,
        'words': _WORDS,
        'interface': _object(
            {
                'action': {'type': 'string', 'pattern': TYPE_NAME},
                'service': {'type': 'string', 'pattern': TYPE_NAME},
                'name': _INTERFACE_NAME,
            },
            ('name',),
        ),
        'args': _named(_ARG, 16),
        'goal': {'type': 'object'},
        'success': {'type': 'object', 'maxProperties': 8},
        'returns': _named(_RETURN, 16),
        'needs': {'type': 'array', 'items': _FACT, 'maxItems': 16},
        'gives': {'type': 'array', 'items': _FACT, 'maxItems': 16},
        'duration_s': _object(
            {
                'typical': {'type': 'number', 'exclusiveMinimum': 0},
                'timeout': {'type': 'number', 'exclusiveMinimum': 0, 'maximum': 86400},
            },
            ('typical', 'timeout'),
        ),
        'retry': _object(
            {'times': {'type': 'integer', 'minimum': 0, 'maximum': 10}, 'recover': {'type': 'array', 'items': _ID}},
            ('times',),
        ),
        'cancel': _object({'acknowledge_within_s': {'type': 'number', 'exclusiveMinimum': 0, 'maximum': 30}}),
        'pause': {
            'description': 'what a pause does to it: finish (default) lets it end, cancel ends it and tries it again',
            'enum': ['finish', 'cancel'],
        },
        'resources': {'type': 'array', 'items': _ID, 'maxItems': 8},
        'risk': {'enum': ['read', 'reversible', 'motion', 'irreversible']},
        'inserted': {'type': 'boolean', 'description': 'false: completion never inserts it by itself'},
        'draft': {'type': 'boolean', 'description': 'true: not finished by a person; the gate refuses it'},
    },
    ('doc', 'interface', 'args', 'goal', 'needs', 'gives', 'duration_s', 'risk'),
)

TOOLS: Schema = {
    '$schema': DRAFT,
    'title': 'gemma4_ros tools, version 1',
    **_object(
        {
            'tools': {'const': '1'},
            'intents': _named(
                _object(
                    {
                        'doc': _DOC,
                        'words': _WORDS,
                        'args': _named(_ARG, 8),
                        'achieve': {'type': 'array', 'items': _FACT, 'minItems': 1, 'maxItems': 8},
                    },
                    ('doc', 'args', 'achieve'),
                )
            ),
        },
        ('tools',),
        patternProperties={r'^(?!tools$|intents$)[a-z][a-z0-9_]{0,31}$': _TOOL},
    ),
}

_SCALAR: Schema = {
    'anyOf': [
        {'type': 'string', 'maxLength': 64},
        {'type': 'number'},
        {'type': 'boolean'},
        _object({'ref': {'$ref': '#/$defs/ref'}}, ('ref',)),
    ]
}
_NODE: Schema = {'$ref': '#/$defs/node'}
_NODES: Schema = {'type': 'array', 'items': _NODE, 'minItems': 1, 'maxItems': 256}

PLAN: Schema = {
    '$schema': DRAFT,
    'title': 'gemma4_ros plan, version 1',
    **_object(
        {
            'plan': {'const': '1'},
            'goal': {'type': 'string', 'maxLength': 512},
            'root': _NODE,
            'uses': {
                'type': 'array',
                'maxItems': 32,
                'items': _object(
                    {
                        'source': {'type': 'string', 'maxLength': 128},
                        'trust': {'enum': ['operator', 'document', 'screen', 'camera', 'signal']},
                    },
                    ('source', 'trust'),
                ),
            },
        },
        ('plan', 'goal', 'root'),
    ),
    '$defs': {
        'ref': {'type': 'string', 'pattern': r'^[a-z][a-z0-9_]{0,31}\.[a-z][a-z0-9_]{0,31}$'},
        'node': {
            'oneOf': [
                {'$ref': f'#/$defs/{name}'} for name in ('step', 'sequence', 'fallback', 'parallel', 'repeat', 'if')
            ]
        },
        'step': _object(
            {
                'id': _ID,
                'tool': _ID,
                'args': {
                    'type': 'object',
                    'propertyNames': {'pattern': ID},
                    'additionalProperties': _SCALAR,
                    'maxProperties': 16,
                },
                'origin': {'enum': ['model', 'completion', 'repair', 'operator']},
                'why': {'type': 'string', 'maxLength': 256},
            },
            ('id', 'tool', 'args'),
        ),
        'sequence': _object({'sequence': _NODES}, ('sequence',)),
        'fallback': _object({'fallback': _NODES}, ('fallback',)),
        'parallel': _object({'parallel': _NODES, 'policy': {'enum': ['all', 'any']}}, ('parallel', 'policy')),
        'repeat': _object(
            {'repeat': _NODE, 'times': {'type': 'integer', 'minimum': 1, 'maximum': 64}}, ('repeat', 'times')
        ),
        'if': _object({'if': {'$ref': '#/$defs/condition'}, 'then': _NODE, 'else': _NODE}, ('if', 'then')),
        'condition': _object(
            {
                'ref': {'$ref': '#/$defs/ref'},
                'op': {'enum': ['<', '<=', '>', '>=', '==', '!=']},
                'value': {'anyOf': [{'type': 'number'}, {'type': 'string', 'maxLength': 64}, {'type': 'boolean'}]},
                'unit': _UNIT,
                'max_age_s': {'type': 'number', 'exclusiveMinimum': 0, 'maximum': 3600},
                'on_unknown': {'enum': ['hold', 'true', 'false']},
            },
            ('ref', 'op', 'value', 'max_age_s', 'on_unknown'),
        ),
    },
}

RISKS = ('read', 'reversible', 'motion', 'irreversible')
_RISK: Schema = {'enum': list(RISKS)}

_ROS_NAME: Schema = {'type': 'string', 'pattern': r'^/?[a-z][a-z0-9_/]{0,127}$'}
_NODE_NAMES: Schema = {'type': 'array', 'items': _ROS_NAME, 'maxItems': 32}
_BY_NAME: Schema = {'type': 'object', 'propertyNames': _ROS_NAME, 'maxProperties': 256}

WATCH: Schema = {
    '$schema': DRAFT,
    'title': 'gemma4_ros watch, version 1',
    **_object(
        {
            'watch': {'const': '1'},
            'publishers': {**_BY_NAME, 'additionalProperties': _NODE_NAMES},
            'endpoints': {
                **_BY_NAME,
                'additionalProperties': _object(
                    {'action': {'type': 'boolean'}, 'servers': _NODE_NAMES, 'clients': _NODE_NAMES}, ('clients',)
                ),
            },
            'clients': {**_BY_NAME, 'additionalProperties': _NODE_NAMES},
        },
        ('watch',),
    ),
}
