# SPDX-License-Identifier: Apache-2.0
"""The policy: what a person allowed, loaded strictly and held against the tools that it speaks of."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gemma4_ros.core import documents
from gemma4_ros.core.errors import PolicyError
from gemma4_ros.core.schemas import POLICY, RISKS
from gemma4_ros.core.strict_yaml import Document
from gemma4_ros.core.tools import Tool, Toolset

__all__ = ['CHANNELS', 'Approval', 'ArgumentRule', 'Policy', 'SignalRule', 'ToolRule', 'load_policy', 'tier_of']

CHANNELS = ('typed', 'speech')  # the SOURCE_* of Utterance.msg, in order


def tier_of(risk: str) -> int:
    """Return 0 read, 1 reversible, 2 motion, 3 irreversible or near people; -1 none."""
    return -1 if risk == 'none' else RISKS.index(risk)


@dataclass(frozen=True, slots=True)
class SignalRule:
    """A signal of the robot; steps of tier ``needed_from`` and above want it younger than ``max_age_s``."""

    name: str
    topic: str
    type: str
    field: str
    max_age_s: float
    needed_from: int


@dataclass(frozen=True, slots=True)
class ArgumentRule:
    """What one argument may be: among ``allow`` (None: all), not among ``deny``, between ``low`` and ``high``."""

    allow: frozenset[str] | None
    deny: frozenset[str]
    low: float
    high: float
    unit: str


@dataclass(frozen=True, slots=True)
class ToolRule:
    """A tool that may be used, with its tier and the hazard that it brings."""

    name: str
    tier: int
    hazard: str
    args: Mapping[str, ArgumentRule]


@dataclass(frozen=True, slots=True)
class Approval:
    """Who must agree: the proposer confirms what is read back, ``people`` distinct others approve."""

    confirm: bool
    people: int


@dataclass(frozen=True, slots=True)
class Policy:
    """All rules; ``sha256`` is that of the file's bytes."""

    name: str
    version: int
    sha256: str
    hazards: Mapping[str, str]
    signals: Mapping[str, SignalRule]
    modes: Mapping[str, int]
    tools: Mapping[str, ToolRule]
    approvals: Mapping[tuple[int, str], Approval]
    approval_ttl_s: float
    permit_ttl_s: float
    start_within_s: float
    executor_lease_s: float
    deadman_lease_s: float


def load_policy(text: str, source: str, toolset: Toolset) -> Policy:
    """Build a policy from YAML; raise PolicyError with file, line, path, what is wrong and the nearest right name."""
    document = documents.load(text, source, POLICY, PolicyError)
    raw: dict[str, Any] = document.root
    tools = {name: _tool(document, name, item, toolset) for name, item in raw['tools'].items()}
    for name, item in raw['signals'].items():
        if name in ('mode', 'estop') and 'field' not in item:
            raise PolicyError(f"{document.at(('signals', name))}: 'field' is missing; the gate needs its value")
    approvals = {
        (tier_of(risk), channel): Approval(**raw['approvals'][risk][channel]) for risk in RISKS for channel in CHANNELS
    }
    return Policy(
        name=raw['name'],
        version=raw['version'],
        sha256=hashlib.sha256(text.encode('utf-8')).hexdigest(),
        hazards=raw['hazards'],
        signals={name: _signal(name, item) for name, item in raw['signals'].items()},
        modes={name: tier_of(risk) for name, risk in raw['modes'].items()},
        tools=tools,
        approvals=approvals,
        approval_ttl_s=float(raw['approvals']['time_to_live_s']),
        permit_ttl_s=float(raw['permit']['time_to_live_s']),
        start_within_s=float(raw['permit']['start_within_s']),
        executor_lease_s=float(raw['leases']['executor_s']),
        deadman_lease_s=float(raw['leases']['deadman_s']),
    )


def _signal(name: str, item: dict[str, Any]) -> SignalRule:
    tier = tier_of(item['needed_from'])
    return SignalRule(name, item['topic'], item['type'], item.get('field', ''), float(item['max_age_s']), tier)


def _tool(document: Document, name: str, item: dict[str, Any], toolset: Toolset) -> ToolRule:
    where = document.at(('tools', name))
    tool = toolset.tools.get(name)
    if tool is None:
        raise PolicyError(f'{where}: unknown tool {name!r}{documents.suggest(name, list(toolset.tools))}')
    hazard = item.get('hazard', '')
    hazards = list(document.root['hazards'])
    if hazard and hazard not in hazards:
        raise PolicyError(f'{where}: unknown hazard {hazard!r}{documents.suggest(hazard, hazards)}')
    if tier_of(item['risk']) < tier_of(tool.risk):
        raise PolicyError(f'{where}: {item["risk"]!r} is below {tool.risk!r} of the tools file')
    if tier_of(item['risk']) >= 2 and not hazard:
        raise PolicyError(f"{where}: 'hazard' is missing; a risk of {item['risk']!r} has a hazard")
    args = {key: _argument(document, tool, key, rule) for key, rule in item.get('args', {}).items()}
    return ToolRule(name, tier_of(item['risk']), hazard, args)


def _argument(document: Document, tool: Tool, name: str, item: dict[str, Any]) -> ArgumentRule:
    where = document.at(('tools', tool.name, 'args', name))
    arg = tool.args.get(name)
    if arg is None:
        raise PolicyError(f'{where}: {tool.name} takes no such argument{documents.suggest(name, list(tool.args))}')
    numeric = arg.type in ('number', 'integer')
    wrong = {'allow', 'deny'} & set(item) if numeric else {'min', 'max', 'unit'} & set(item)
    if wrong or arg.type == 'boolean' or not item:
        raise PolicyError(f'{where}: names take allow or deny, numbers take min, max and unit')
    if numeric and item.get('unit') != arg.unit:
        raise PolicyError(f'{where}: the unit is {item.get("unit")!r}; the tool wants {arg.unit!r}')
    for value in (*item.get('allow', ()), *item.get('deny', ())):
        if value not in arg.values:
            raise PolicyError(f'{where}: unknown {value!r}{documents.suggest(value, list(arg.values))}')
    low, high = float(item.get('min', -math.inf)), float(item.get('max', math.inf))
    if max(low, arg.low) > min(high, arg.high):
        raise PolicyError(f'{where}: nothing between {low} and {high} {arg.unit} fits the tool')
    allow = frozenset(item['allow']) if 'allow' in item else None
    return ArgumentRule(allow, frozenset(item.get('deny', ())), low, high, item.get('unit', ''))
