# SPDX-License-Identifier: Apache-2.0
"""Draft entries of a tools file from what a graph offers; what only a person can know is left open and said."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gemma4_ros.ros.types import describe

__all__ = ['Offer', 'draft', 'offers']

# Every node serves these; nobody plans with them.
_OWN = re.compile(
    r'.*/(?:describe_parameters|get_parameter_types|get_parameters|list_parameters|set_parameters'
    r'|set_parameters_atomically|get_type_description|get_logger_levels|set_logger_levels|change_state|get_state|get_available_states'
    r'|get_available_transitions|get_transition_graph)|.*/_action/.*'
)
_TYPES = {'bool': 'boolean', 'float32': 'number', 'float64': 'number'}
_INTEGER = re.compile(r'(?:u?int(?:8|16|32|64)|byte|char)')
_BIGGEST = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Offer:
    """A server of the graph: ``action`` or ``service``, its name and its type."""

    kind: str
    name: str
    type: str


def offers(actions: Iterable[tuple[str, list[str]]], services: Iterable[tuple[str, list[str]]]) -> list[Offer]:
    """Return what may become a tool, by name; the services that every node has are left out."""
    found = [Offer('action', name, kind) for name, kinds in actions for kind in kinds]
    found += [Offer('service', name, kind) for name, kinds in services for kind in kinds if not _OWN.fullmatch(name)]
    return sorted(found, key=lambda offer: (offer.name, offer.type))


def draft(offer: Offer, taken: Iterable[str] = ()) -> tuple[str, dict[str, Any]]:
    """
    Return a name and a draft entry of a tools file.

    Numbers become arguments with the bounds of their type, which a person narrows; texts, lists and messages are left
    out of the goal, which then keeps the defaults of the message. Needs, gives, risk and times are a person's to say.

    Raises
    ------
    ConversionError
        The type is not installed here.

    """
    described = describe(offer.type)
    goal, args, open_fields = _arguments(described['request'])
    entry: dict[str, Any] = {
        'doc': _doc(offer, open_fields),
        'interface': {offer.kind: offer.type, 'name': offer.name.lstrip('/')},
        'args': args,
        'goal': goal,
        'success': _success(offer, described['result']),
        'returns': _returns(described['result']),
        'needs': [],
        'gives': [],
        'duration_s': {'typical': 1.0, 'timeout': 10.0},
        'risk': 'irreversible',
        'draft': True,
    }
    return _free_name(offer.name, set(taken)), entry


def _doc(offer: Offer, open_fields: list[str]) -> str:
    said = f'DRAFT of {offer.name}: say what it does, risk, needs, gives, times and bounds'
    left = f'; the goal leaves out {", ".join(open_fields)}' if open_fields else ''
    return (said + left)[:200]


def _arguments(request: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    goal: dict[str, Any] = {}
    args: dict[str, Any] = {}
    left: list[str] = []
    for name, kind in request['fields'].items():
        word = _argument_type(kind['type'])
        if not word or len(args) == 16 or not re.fullmatch(r'[a-z][a-z0-9_]{0,31}', name):
            left.append(name)
            continue
        args[name] = {'type': word}
        if word == 'integer':
            low, high = max(kind.get('low', 0), -_BIGGEST), min(kind.get('high', 255), _BIGGEST)
            args[name] |= {'min': low, 'max': high, 'unit': '1'}
        elif word == 'number':
            args[name] |= {'min': 0.0, 'max': 0.0, 'unit': '1'}  # a person says how far, in what
        goal[name] = f'${name}'
    return goal, args, left


def _argument_type(kind: str) -> str:
    return _TYPES.get(kind) or ('integer' if _INTEGER.fullmatch(kind) else '')


def _success(offer: Offer, result: Mapping[str, Any]) -> dict[str, Any]:
    wanted: dict[str, Any] = {'status': 'SUCCEEDED'} if offer.kind == 'action' else {}
    kinds = {name: kind['type'] for name, kind in result['fields'].items()}
    if kinds.get('success') == 'bool':
        wanted['success'] = True
    if _INTEGER.fullmatch(kinds.get('error_code', '')):
        wanted['error_code'] = 0
    return wanted


def _returns(result: Mapping[str, Any]) -> dict[str, Any]:
    returns: dict[str, Any] = {}
    for name, kind in result['fields'].items():
        is_text = kind['type'].startswith('string') and '[' not in kind['type']
        word = 'string' if is_text else _argument_type(kind['type'])
        if word and name not in ('success', 'error_code') and re.fullmatch(r'[a-z][a-z0-9_]{0,31}', name):
            returns[name] = {'field': name, 'type': word, **({'unit': '1'} if word in ('number', 'integer') else {})}
    return dict(list(returns.items())[:16])


def _free_name(topic: str, taken: set[str]) -> str:
    word = re.sub(r'[^a-z0-9_]+', '_', topic.lower().strip('/')).strip('_') or 'tool'
    word = (word if word[0].isalpha() else f'tool_{word}')[:32].rstrip('_')
    name, number = word, 2
    while name in taken or name in ('tools', 'intents'):
        name, number = f'{word[:29]}_{number}', number + 1
    return name
