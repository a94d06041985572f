# SPDX-License-Identifier: Apache-2.0
"""JSON to messages and back by the field types of the generated classes; the only place that builds messages from JSON.

Every error is a `ConversionError` that names the field: ``goal.pose.header.frame_id: wants string, got 3``.
"""

from __future__ import annotations

import array
import base64
import binascii
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import rfc8785
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
from gemma4_ros.ros.types import (
    FLOATS,
    INTEGERS,
    constants,
    describe,
    fields,
    message_class,
    nested_class,
    request_class,
    string_limit,
    type_name,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ['describe', 'message_class', 'to_json', 'to_message']

_TIMES = ('builtin_interfaces/Time', 'builtin_interfaces/Duration')
_BYTES = ('uint8', 'char')
_SHOWN = 60  # characters of a wrong value in a message


def to_message(cls_or_type_name: Any, value: Mapping[str, Any], path: str = '') -> Any:
    """
    Build a message from JSON.

    Parameters
    ----------
    cls_or_type_name : class or str
        A message class, or a type name; an action stands for its goal, a service for its request.
    value : mapping
        Fields that are left out keep the message's defaults. A number field also takes the name of a constant of its
        message; ``uint8[]`` takes base64 or a list; Time and Duration take ``{sec, nanosec}`` or seconds. A mapping
        where the field is a string is sent as its canonical JSON text (RFC 8785), such as the parameters of a skill.
    path : str
        Where `value` stands, for errors.

    Raises
    ------
    ConversionError
        Names the field that does not fit, what it wants and what it got.

    """
    return _message(request_class(cls_or_type_name), value, path)


def to_json(message: Any) -> dict[str, Any]:
    """
    Turn a message into JSON: ``uint8[]`` as base64, a float that is not finite as None, a byte as a number.

    `to_message` makes an equal message of it again.
    """
    cls: Any = type(message)
    return {name: _json_value(kind, getattr(message, name)) for name, kind in fields(cls).items()}


def _fail(path: str, wants: str, value: Any) -> ConversionError:
    shown = repr(value)
    if len(shown) > _SHOWN:
        shown = shown[:_SHOWN] + '…'
    return ConversionError(f'{path or "value"}: wants {wants}, got {shown}')


def _message(cls: Any, value: Any, path: str) -> Any:
    known = fields(cls)
    if not hasattr(value, 'items'):
        raise _fail(path, f'an object with the fields of {cls.__name__}', value)
    message = cls()
    for name, item in value.items():
        where = f'{path}.{name}' if path else str(name)
        if name not in known:
            raise ConversionError(f'{where}: {cls.__name__} has no such field; it has {", ".join(known) or "none"}')
        setattr(message, name, _value(cls, known[name], item, where))
    return message


def _value(owner: Any, kind: Any, value: Any, path: str) -> Any:
    if isinstance(kind, AbstractNestedType):
        return _sequence(owner, kind, value, path)
    if isinstance(kind, (AbstractString, AbstractWString)):
        return _string(kind, value, path)
    if isinstance(kind, NamespacedType):
        if type_name(kind) in _TIMES:
            return _time(kind, value, path)
        return _message(nested_class(kind), value, path)
    return _basic(owner, kind, value, path)


def _basic(owner: Any, kind: BasicType, value: Any, path: str) -> Any:
    if isinstance(value, str) and value in constants(owner):
        value = constants(owner)[value]
        value = value[0] if isinstance(value, bytes) else value
    name = type_name(kind)
    if kind.typename == 'boolean':
        if not isinstance(value, bool):
            raise _fail(path, 'bool', value)
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _fail(path, name + _constant_names(owner), value)
    if kind.typename in FLOATS:
        limit = FLOATS[kind.typename]
        if not -limit <= value <= limit:  # NaN fails as well
            raise _fail(path, f'a finite {name}', value)
        return float(value)
    if kind.typename not in INTEGERS:
        raise ConversionError(f'{path}: fields of type {name} cannot be filled')
    low, high = INTEGERS[kind.typename]
    if not isinstance(value, int) or not low <= value <= high:
        raise _fail(path, f'{name} from {low} to {high}', value)
    return bytes([value]) if kind.typename == 'octet' else value


def _constant_names(owner: Any) -> str:
    names = list(constants(owner))
    return f' or one of {", ".join(names)}' if names else ''


def _string(kind: Any, value: Any, path: str) -> str:
    if isinstance(value, dict):
        value = _json_text(value, path)
    if not isinstance(value, str):
        raise _fail(path, type_name(kind), value)
    limit = string_limit(kind)
    if limit is not None and len(value) > limit:
        raise ConversionError(f'{path}: wants at most {limit} characters, got {len(value)}')
    if '\0' in value:  # a C string would end there
        raise ConversionError(f'{path}: wants a string without NUL characters')
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ConversionError(f'{path}: wants text that UTF-8 can carry: {error.reason}') from error
    return value


def _json_text(value: dict[str, Any], path: str) -> str:
    try:
        return rfc8785.dumps(value).decode()
    except (rfc8785.CanonicalizationError, UnicodeError, RecursionError) as error:
        raise ConversionError(f'{path}: wants what JSON text can carry: {error}') from error


def _sequence(owner: Any, kind: Any, value: Any, path: str) -> Any:
    element = kind.value_type
    typename = element.typename if isinstance(element, BasicType) else ''
    if typename in _BYTES and isinstance(value, str):
        value = _from_base64(value, path)
    if not isinstance(value, (list, tuple, bytes, bytearray)):
        also = ' or base64' if typename in _BYTES else ''
        raise _fail(path, f'a list for {type_name(kind)}{also}', value)
    _check_size(kind, len(value), path)
    if typename in _BYTES and isinstance(value, (bytes, bytearray)):
        items: Any = value
    else:
        items = [_value(owner, element, item, f'{path}[{i}]') for i, item in enumerate(value)]
    return _packed(kind, typename, items)


def _check_size(kind: Any, size: int, path: str) -> None:
    if isinstance(kind, Array) and size != kind.size:
        raise ConversionError(f'{path}: wants exactly {kind.size} elements, got {size}')
    if isinstance(kind, BoundedSequence) and size > kind.maximum_size:
        raise ConversionError(f'{path}: wants at most {kind.maximum_size} elements, got {size}')


# What the generated setters take without copying or checking element by element.
_ARRAY_CODES = {
    'int8': 'b', 'uint8': 'B', 'char': 'B', 'int16': 'h', 'uint16': 'H', 'int32': 'i', 'uint32': 'I', 'int64': 'q',
    'uint64': 'Q', 'float': 'f', 'double': 'd',
}  # fmt: skip


def _packed(kind: Any, typename: str, items: Any) -> Any:
    code = _ARRAY_CODES.get(typename)
    if code is None:
        return items
    packed = array.array(code, items)
    return np.frombuffer(packed.tobytes(), dtype=np.dtype(code)).copy() if isinstance(kind, Array) else packed


def _from_base64(text: str, path: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ConversionError(f'{path}: wants base64: {error}') from error


def _time(kind: NamespacedType, value: Any, path: str) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise _fail(path, 'finite seconds', value)
        sec, nanosec = divmod(round(value * 1e9), 1_000_000_000)
        value = {'sec': sec, 'nanosec': nanosec}
    if not hasattr(value, 'items'):
        raise _fail(path, 'seconds or {sec, nanosec}', value)
    message = _message(nested_class(kind), value, path)
    if message.nanosec >= 1_000_000_000:
        raise _fail(f'{path}.nanosec', 'less than 1000000000', message.nanosec)
    return message


def _json_value(kind: Any, value: Any) -> Any:
    if isinstance(kind, AbstractNestedType):
        element = kind.value_type
        if isinstance(element, BasicType) and element.typename in _BYTES:
            return base64.b64encode(bytes(value)).decode()
        return [_json_value(element, item) for item in value]
    if isinstance(kind, NamespacedType):
        return to_json(value)
    if isinstance(kind, BasicType):
        return _json_number(kind.typename, value)
    return value


def _json_number(typename: str, value: Any) -> Any:
    if typename == 'octet':
        return value[0] if value else 0
    if typename in FLOATS:
        return float(value) if math.isfinite(value) else None
    return bool(value) if typename == 'boolean' else int(value)
