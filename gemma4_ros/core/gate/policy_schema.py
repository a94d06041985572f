# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of the policy; config/schema/policy-1.json is written from it."""

from __future__ import annotations

from typing import Any

from gemma4_ros.core.schemas import DRAFT, FIELD, ID, INTERFACE_NAME, RISKS, TYPE_NAME

__all__ = ['POLICY', 'TRUST']

Schema = dict[str, Any]
TRUST = ('operator', 'document', 'screen', 'camera', 'signal')


def _object(properties: Schema, required: tuple[str, ...] = ()) -> Schema:
    return {
        'type': 'object', 'properties': properties, 'required': list(required), 'additionalProperties': False,
    }  # fmt: skip


def _named(item: Schema, limit: int = 256) -> Schema:
    return {'type': 'object', 'propertyNames': {'pattern': ID}, 'additionalProperties': item, 'maxProperties': limit}


def _list(item: Schema, least: int = 1, most: int = 256) -> Schema:
    return {'type': 'array', 'items': item, 'minItems': least, 'maxItems': most}


_ID: Schema = {'type': 'string', 'pattern': ID}
_RISK: Schema = {'enum': list(RISKS)}
_SECONDS: Schema = {'type': 'number', 'exclusiveMinimum': 0, 'maximum': 86400}
_LEASE: Schema = {'type': 'number', 'minimum': 0.1, 'maximum': 5}
_NUMBER: Schema = {'type': 'number'}
_COUNT: Schema = {'type': 'integer', 'minimum': 1, 'maximum': 100000}
_METRES: Schema = {'type': 'number', 'minimum': 0, 'maximum': 1000}
_NODE_NAME: Schema = {'type': 'string', 'pattern': r'^/?[a-zA-Z][a-zA-Z0-9_/]{0,127}$'}
_VALUE: Schema = {'anyOf': [{'type': 'boolean'}, {'type': 'string', 'minLength': 1, 'maxLength': 64}]}
_SIGNAL_RULE = _object(
    {
        'topic': {'type': 'string', 'pattern': INTERFACE_NAME},
        'type': {'type': 'string', 'pattern': TYPE_NAME},
        'field': {'type': 'string', 'pattern': FIELD},
        'fresh_by': {'enum': ['age', 'liveliness']},
        'max_age_s': _SECONDS,
        'frozen_after_s': _SECONDS,
        'publishers': _list(_NODE_NAME, most=16),
        'needed_from': _RISK,
    },
    ('topic', 'type', 'fresh_by', 'max_age_s', 'needed_from'),
)
_TEST: Schema = {'signal': _ID, 'is': _VALUE, 'min': _NUMBER, 'max': _NUMBER}
_ARGUMENT_RULE = _object(
    {
        'allow': _list(_ID),
        'deny': _list(_ID),
        'min': _NUMBER,
        'max': _NUMBER,
        'unit': {'type': 'string', 'minLength': 1, 'maxLength': 16},
        'from': _list({'enum': list(TRUST)}, most=len(TRUST)),
    }
)
_TOTAL = _object(
    {'of': _ID, 'max': {'type': 'number', 'exclusiveMinimum': 0}, 'within_s': _SECONDS}, ('max', 'within_s')
)
_TOOL_RULE = _object(
    {
        'risk': _RISK,
        'hazard': _ID,
        'args': _named(_ARGUMENT_RULE),
        'trust': {'enum': list(TRUST)},
        'ends_at': {'type': 'string', 'pattern': FIELD},
        'when': _list(_object({**_TEST, 'else_cap': _named(_NUMBER, 16)}, ('signal',)), most=16),
        'limits': _object({'per_minute': _COUNT, 'at_once': _COUNT, 'totals': _list(_TOTAL, most=16)}),
        'post': _object({**_TEST, 'near_end_m': _METRES, 'within_s': _SECONDS}, ('signal', 'within_s')),
    },
    ('risk',),
)
_APPROVAL = _object(
    {'confirm': {'type': 'boolean'}, 'people': {'type': 'integer', 'minimum': 0, 'maximum': 2}, 'role': _ID},
    ('confirm', 'people'),
)
_BY_CHANNEL = _object({'typed': _APPROVAL, 'speech': _APPROVAL}, ('typed', 'speech'))
_POINT: Schema = {'type': 'array', 'items': _NUMBER, 'minItems': 2, 'maxItems': 2}
_AREA = _object(
    {'kind': {'enum': ['allow', 'keep_out']}, 'polygon': _list(_POINT, 3), 'margin_m': _METRES, 'hazard': _ID},
    ('kind', 'polygon'),
)
_ZONES = _object(
    {
        'frame': {'type': 'string', 'minLength': 1, 'maxLength': 64},
        'signal': _ID,
        'margin_m': _METRES,
        'areas': {**_named(_AREA, 64), 'minProperties': 1},
    },
    ('frame', 'signal', 'margin_m', 'areas'),
)
_EVENT = _object(
    {'tool': _ID, 'args': _named({'anyOf': [_NUMBER, {'type': 'boolean'}, {'type': 'string', 'maxLength': 64}]}, 16)},
    ('tool',),
)
_SEQUENCE = _object(
    {
        'rule': {'enum': ['never', 'precedence', 'response', 'at_most', 'never_after', 'exclusive']},
        'first': _EVENT,
        'then': _EVENT,
        'times': _COUNT,
        'within_s': _SECONDS,
        'scope': {'enum': ['plan', 'session']},
        'hazard': _ID,
    },
    ('rule', 'first'),
)
_PERSON = _object(
    {'key': {'type': 'string', 'pattern': r'^[A-Za-z0-9+/]{43}=$'}, 'roles': _list(_ID, most=16)}, ('key', 'roles')
)
_MODES = ('AUTO', 'MANUAL', 'MAINTENANCE')

POLICY: Schema = {
    '$schema': DRAFT,
    'title': 'gemma4_ros gate policy, version 1',
    **_object(
        {
            'policy': {'const': '1'},
            'name': _ID,
            'version': {'type': 'integer', 'minimum': 1},
            'expires': {'type': 'string', 'pattern': r'^20[0-9]{2}-[01][0-9]-[0-3][0-9]$'},
            'hazards': _named({'type': 'string', 'minLength': 1, 'maxLength': 200}),
            'people': {
                'type': 'object',
                'propertyNames': {'pattern': r'^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$'},
                'additionalProperties': _PERSON,
                'minProperties': 1,
                'maxProperties': 256,
            },
            'signals': {**_named(_SIGNAL_RULE), 'required': ['mode', 'estop']},
            'zones': _ZONES,
            'modes': _object({mode: {'enum': ['none', *RISKS]} for mode in _MODES}, _MODES),
            'tools': _named(_TOOL_RULE),
            'sequences': _named(_SEQUENCE, 64),
            'rates': _object({'plans_per_minute': _COUNT, 'plans_per_person': _COUNT}),
            'approvals': _object(
                {'time_to_live_s': _SECONDS, **dict.fromkeys(RISKS, _BY_CHANNEL)}, ('time_to_live_s', *RISKS)
            ),
            'permit': _object(
                {'time_to_live_s': _SECONDS, 'start_within_s': _SECONDS}, ('time_to_live_s', 'start_within_s')
            ),
            'leases': _object({'executor_s': _LEASE, 'deadman_s': _LEASE}, ('executor_s', 'deadman_s')),
        },
        ('policy', 'name', 'version', 'hazards', 'signals', 'modes', 'tools', 'approvals', 'permit', 'leases'),
    ),
}  # fmt: skip
