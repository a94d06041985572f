# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of a policy; config/schema/policy-1.json is written from it and checked for drift."""

from __future__ import annotations

from typing import Any

from gemma4_ros.core.schemas import DRAFT, ID, TYPE_NAME

__all__ = ['POLICY', 'RISKS']

RISKS = ('read', 'reversible', 'motion', 'irreversible')
Schema = dict[str, Any]


def _object(properties: Schema, required: tuple[str, ...]) -> Schema:
    return {'type': 'object', 'properties': properties, 'required': list(required), 'additionalProperties': False}


def _named(item: Schema) -> Schema:
    return {'type': 'object', 'propertyNames': {'pattern': ID}, 'additionalProperties': item, 'maxProperties': 256}


_RISK: Schema = {'enum': list(RISKS)}
_NAME: Schema = {'type': 'string', 'pattern': ID}
_NAMES: Schema = {'type': 'array', 'items': _NAME, 'minItems': 1, 'maxItems': 256}
_SECONDS: Schema = {'type': 'number', 'exclusiveMinimum': 0, 'maximum': 86400}
_LEASE: Schema = {'type': 'number', 'minimum': 0.1, 'maximum': 5}
_SIGNAL = _object(
    {
        'topic': {'type': 'string', 'pattern': r'^[a-z~/][a-z0-9_/]{0,127}$'},
        'type': {'type': 'string', 'pattern': TYPE_NAME},
        'field': {'type': 'string', 'pattern': r'^[a-z][a-z0-9_.]{0,63}$'},
        'fresh_by': {'enum': ['age']},
        'max_age_s': _SECONDS,
        'needed_from': _RISK,
    },
    ('topic', 'type', 'fresh_by', 'max_age_s', 'needed_from'),
)
_ARGUMENT = _object(
    {
        'allow': _NAMES,
        'deny': _NAMES,
        'min': {'type': 'number'},
        'max': {'type': 'number'},
        'unit': {'type': 'string', 'minLength': 1, 'maxLength': 16},
    },
    (),
)
_TOOL = _object({'risk': _RISK, 'hazard': _NAME, 'args': _named(_ARGUMENT)}, ('risk',))
_APPROVAL = _object({'confirm': {'type': 'boolean'}, 'people': {'type': 'integer', 'minimum': 0, 'maximum': 2}}, ('confirm', 'people'))
_CHANNELS = _object({'typed': _APPROVAL, 'speech': _APPROVAL}, ('typed', 'speech'))

POLICY: Schema = {
    '$schema': DRAFT,
    'title': 'gemma4_ros gate policy, version 1',
    **_object(
        {
            'policy': {'const': '1'},
            'name': _NAME,
            'version': {'type': 'integer', 'minimum': 1},
            'hazards': _named({'type': 'string', 'minLength': 1, 'maxLength': 200}),
            'signals': {**_named(_SIGNAL), 'required': ['mode', 'estop']},
            'modes': _object(dict.fromkeys(('AUTO', 'MANUAL', 'MAINTENANCE'), {'enum': ['none', *RISKS]}), ('AUTO', 'MANUAL', 'MAINTENANCE')),
            'tools': _named(_TOOL),
            'approvals': _object({'time_to_live_s': _SECONDS, **dict.fromkeys(RISKS, _CHANNELS)}, ('time_to_live_s', *RISKS)),
            'permit': _object({'time_to_live_s': _SECONDS, 'start_within_s': _SECONDS}, ('time_to_live_s', 'start_within_s')),
            'leases': _object({'executor_s': _LEASE, 'deadman_s': _LEASE}, ('executor_s', 'deadman_s')),
        },
        ('policy', 'name', 'version', 'hazards', 'signals', 'modes', 'tools', 'approvals', 'permit', 'leases'),
    ),
}
