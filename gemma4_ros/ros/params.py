# SPDX-License-Identifier: Apache-2.0
"""ROS parameters from a frozen dataclass: name, default, unit, bounds and documentation stand in one place.

Values are checked when they are set and again when they are read. A parameter is used from the next configuration on.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from typing import TYPE_CHECKING, Any, TypeVar

from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult

from gemma4_ros.core.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rclpy.node import Node
    from rclpy.parameter import Parameter

__all__ = ['declare', 'param', 'read']

T = TypeVar('T')
_METADATA = 'gemma4_ros.param'
_SCALARS = (bool, int, float, str)


@dataclasses.dataclass(frozen=True, slots=True)
class _Spec:
    doc: str
    unit: str
    low: float | None
    high: float | None
    choices: tuple[Any, ...] | None

    def limits(self) -> str:
        """Say what is allowed, for messages and descriptors."""
        if self.choices is not None:
            return 'one of ' + ', '.join(str(choice) for choice in self.choices)
        if self.low is None and self.high is None:
            return ''
        low = '-inf' if self.low is None else f'{self.low:g}'
        high = 'inf' if self.high is None else f'{self.high:g}'
        return f'from {low} to {high}' + (f' {self.unit}' if self.unit else '')


def param(
    default: Any,
    *,
    doc: str,
    unit: str = '',
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[Any] | None = None,
) -> Any:
    """
    Make one field of a parameter dataclass.

    Parameters
    ----------
    default : bool, int, float, str or a tuple of one of them
        The value without any file or command line.
    doc : str
        One line; shown by ``ros2 param describe``.
    unit : str
        Unit of a number, ``s`` say; the name should carry it too.
    low, high : float
        Bounds, inclusive; of every element for tuples.
    choices : sequence
        The values that are allowed.

    """
    spec = _Spec(doc, unit, low, high, tuple(choices) if choices is not None else None)
    return dataclasses.field(default=default, metadata={_METADATA: spec})


def declare(node: Node, cls: type[Any]) -> None:
    """Declare every field of `cls` as a parameter of `node`, and refuse wrong values from then on."""
    fields = {field.name: field for field in dataclasses.fields(cls)}
    hints = typing.get_type_hints(cls)
    for field in fields.values():
        spec = _spec(field)
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        # dynamic typing: the check below takes 5 for 5.0 and says what is wrong in words
        descriptor = ParameterDescriptor(
            name=field.name,
            description=f'{spec.doc} [{spec.unit}]' if spec.unit else spec.doc,
            additional_constraints=spec.limits(),
            dynamic_typing=True,
        )
        node.declare_parameter(field.name, default, descriptor)

    def check(parameters: list[Parameter[Any]]) -> SetParametersResult:
        for parameter in parameters:
            if parameter.name in fields:
                try:
                    _checked(fields[parameter.name], hints[parameter.name], parameter.value)
                except ParameterError as error:
                    return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(check)


def read(node: Node, cls: type[T]) -> T:
    """
    Read the parameters that `declare` declared.

    Raises
    ------
    ParameterError
        Names the parameter, its value and what is allowed.

    """
    hints = typing.get_type_hints(cls)
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    return cls(**{f.name: _checked(f, hints[f.name], node.get_parameter(f.name).value) for f in fields})


def _spec(field: dataclasses.Field[Any]) -> _Spec:
    spec = field.metadata.get(_METADATA)
    return spec if isinstance(spec, _Spec) else _Spec('', '', None, None, None)


def _checked(field: dataclasses.Field[Any], hint: Any, value: Any) -> Any:
    spec = _spec(field)
    element = _element_type(hint)
    if element is None:
        return _checked_scalar(field.name, spec, hint, value)
    if not hasattr(value, '__iter__') or isinstance(value, str):
        raise ParameterError(f'parameter {field.name}: wants a list of {element.__name__}, got {value!r}')
    return tuple(_checked_scalar(f'{field.name}[{i}]', spec, element, item) for i, item in enumerate(value))


def _element_type(hint: Any) -> type[Any] | None:
    if typing.get_origin(hint) is tuple:
        return typing.cast('type[Any]', typing.get_args(hint)[0])
    return None


def _checked_scalar(name: str, spec: _Spec, hint: Any, value: Any) -> Any:
    kind = _scalar_type(hint)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        limits = f' {spec.limits()}' if spec.limits() else ''
        raise ParameterError(f'parameter {name}: wants {kind.__name__}{limits}, got {value!r}')
    allowed = spec.choices is None or value in spec.choices
    if allowed and isinstance(value, (int, float)) and not isinstance(value, bool):
        allowed = (
            math.isfinite(value)
            and (spec.low is None or value >= spec.low)
            and (spec.high is None or value <= spec.high)
        )
    if not allowed:
        raise ParameterError(f'parameter {name}: {value!r} is not {spec.limits() or "a finite number"}')
    return value


def _scalar_type(hint: Any) -> type[Any]:
    if isinstance(hint, types.UnionType) or hint not in _SCALARS:
        raise TypeError(f'a parameter is bool, int, float, str or a tuple of one of them, not {hint}')
    return typing.cast('type[Any]', hint)
