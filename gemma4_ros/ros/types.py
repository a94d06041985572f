# SPDX-License-Identifier: Apache-2.0
"""Message, service and action classes by name, looked up at run time, and what their fields are."""

from __future__ import annotations

import functools
import importlib
import re
from typing import Any

from rosidl_parser.definition import (
    AbstractNestedType,
    AbstractString,
    AbstractWString,
    Array,
    BasicType,
    BoundedSequence,
    NamespacedType,
)

from gemma4_ros.core.errors import ConversionError

__all__ = [
    'constants',
    'describe',
    'fields',
    'message_class',
    'nested_class',
    'request_class',
    'result_class',
    'string_limit',
    'type_name',
]

INTEGERS: dict[str, tuple[int, int]] = {
    **{f'int{bits}': (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f'uint{bits}': (0, 2**bits - 1) for bits in (8, 16, 32, 64)},
    'char': (0, 255),
    'octet': (0, 255),
}
FLOATS: dict[str, float] = {'float': 3.4028234663852886e38, 'double': 1.7976931348623157e308}

# fullmatch: a name that is read from a file is imported only if it can be nothing but a type
_NAME = re.compile(
    r'([a-z][a-z0-9_]*)/(?:(msg|srv|action)/)?([A-Z][A-Za-z0-9]*)(?:_(Goal|Result|Feedback|Request|Response))?'
)


@functools.cache
def message_class(name: str) -> Any:
    """
    Find a class by its type name, ``nav2_msgs/action/NavigateToPose`` or ``geometry_msgs/PoseStamped``.

    Raises
    ------
    ConversionError
        The name is malformed, or its package or type is not installed here.

    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ConversionError(
            f'{name!r} is not a type name; wants package/msg/Name, package/srv/Name or package/action/Name'
        )
    package, kind, cls, part = match.groups()
    kind = kind or 'msg'
    try:
        module = importlib.import_module(f'{package}.{kind}')
    except ImportError as error:
        raise ConversionError(
            f'{name}: no package {package} with {kind} types here ({error}); install it or source its overlay'
        ) from error
    found = getattr(module, cls, None)
    if part is not None and found is not None:
        found = getattr(found, part, None)
    if found is None:
        raise ConversionError(f'{name}: package {package} has no such type')
    return found


def request_class(cls_or_name: Any) -> Any:
    """Find what is sent: the goal of an action, the request of a service, a message itself."""
    cls = message_class(cls_or_name) if isinstance(cls_or_name, str) else cls_or_name
    return getattr(cls, 'Goal', None) or getattr(cls, 'Request', None) or cls


def result_class(cls_or_name: Any) -> Any:
    """Find what comes back: the result of an action, the response of a service, a message itself."""
    cls = message_class(cls_or_name) if isinstance(cls_or_name, str) else cls_or_name
    return getattr(cls, 'Result', None) or getattr(cls, 'Response', None) or cls


@functools.cache
def fields(cls: Any) -> dict[str, Any]:
    """Return each field of a message class with its type as rosidl defines it."""
    names = [name for name in cls.get_fields_and_field_types() if name != 'structure_needs_at_least_one_member']
    return dict(zip(names, cls.SLOT_TYPES, strict=False))


@functools.cache
def constants(cls: Any) -> dict[str, Any]:
    """Return the constants of a message class by name."""
    meta = type(cls)
    return dict(getattr(meta, f'_{meta.__name__}__constants', {}))


def type_name(rosidl_type: Any) -> str:
    """Return how the interface file writes a type: ``string<=64[<=4]``, ``geometry_msgs/Pose``."""
    if isinstance(rosidl_type, AbstractNestedType):
        size = f'<={rosidl_type.maximum_size}' if isinstance(rosidl_type, BoundedSequence) else ''
        size = str(rosidl_type.size) if isinstance(rosidl_type, Array) else size
        return f'{type_name(rosidl_type.value_type)}[{size}]'
    if isinstance(rosidl_type, (AbstractString, AbstractWString)):
        word = 'wstring' if isinstance(rosidl_type, AbstractWString) else 'string'
        limit = string_limit(rosidl_type)
        return word if limit is None else f'{word}<={limit}'
    if isinstance(rosidl_type, NamespacedType):
        return f'{next(iter(rosidl_type.namespaces))}/{rosidl_type.name}'
    basic: str = rosidl_type.typename
    return {'boolean': 'bool', 'octet': 'byte', 'float': 'float32', 'double': 'float64'}.get(basic, basic)


def string_limit(rosidl_type: Any) -> int | None:
    """Return how many characters a string may have, or None."""
    return int(rosidl_type.maximum_size) if rosidl_type.has_maximum_size() else None


def nested_class(rosidl_type: NamespacedType) -> Any:
    """Find the class of a field that is a message."""
    return message_class('/'.join([*rosidl_type.namespaces, rosidl_type.name]))


def describe(name: str) -> dict[str, Any]:
    """
    Describe a type for people and for drafting tools.

    Returns
    -------
    dict
        ``kind`` (msg, srv, action) and, of what is sent (``request``) and comes back (``result``), each field with its
        ``type`` and, where they apply, ``low``/``high``, ``max_length``, ``size``, ``max_size``, ``items``, ``fields``
        and the ``constants`` of its message.

    """
    cls = message_class(name)
    if hasattr(cls, 'Goal'):
        return {'kind': 'action', 'request': _describe_class(cls.Goal), 'result': _describe_class(cls.Result)}
    if hasattr(cls, 'Request'):
        return {'kind': 'srv', 'request': _describe_class(cls.Request), 'result': _describe_class(cls.Response)}
    return {'kind': 'msg', 'request': _describe_class(cls), 'result': _describe_class(cls)}


def _describe_class(cls: Any) -> dict[str, Any]:
    described: dict[str, Any] = {'fields': {name: _describe_type(kind) for name, kind in fields(cls).items()}}
    if constants(cls):
        described['constants'] = constants(cls)
    return described


def _describe_type(kind: Any) -> dict[str, Any]:
    described: dict[str, Any] = {'type': type_name(kind)}
    if isinstance(kind, AbstractNestedType):
        if isinstance(kind, Array):
            described['size'] = kind.size
        elif isinstance(kind, BoundedSequence):
            described['max_size'] = kind.maximum_size
        described['items'] = _describe_type(kind.value_type)
    elif isinstance(kind, (AbstractString, AbstractWString)) and kind.has_maximum_size():
        described['max_length'] = string_limit(kind)
    elif isinstance(kind, NamespacedType):
        described.update(_describe_class(nested_class(kind)))
    elif isinstance(kind, BasicType) and kind.typename in INTEGERS:
        described['low'], described['high'] = INTEGERS[kind.typename]
    return described
