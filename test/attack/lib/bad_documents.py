# SPDX-License-Identifier: Apache-2.0
"""What is no plan: JSON broken in every way that RFC 8259 knows, mutants of a good plan, documents huge or deep."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import rfc8785

__all__ = ['GOOD', 'PLAN', 'byte_mutants', 'deep_and_huge', 'malformed', 'mutants', 'places', 'worst']

READ = {'id': 's1', 'tool': 'read_gauge', 'args': {'gauge': 'pressure_gauge'}, 'why': 'a \\ "b" ü', 'origin': 'model'}
SET = {'id': 's4', 'tool': 'set_panel_value', 'args': {'panel': 'setpoint_panel', 'value_bar': 4.5}}
TYPED = {'id': 's6', 'tool': 'set_panel_value', 'args': {'panel': 'setpoint_panel', 'value_bar': {'ref': 's1.low'}}}
LOW = {'ref': 's1.value', 'op': '<', 'value': 3.25, 'unit': 'bar', 'max_age_s': 60, 'on_unknown': 'hold'}
PLAN: dict[str, Any] = {
    'plan': '1',
    'goal': 'bring the pressure up',
    'root': {
        'sequence': [
            {'id': 's0', 'tool': 'undock', 'args': {}},
            READ,
            {
                'if': LOW,
                'then': {
                    'fallback': [
                        {'id': 's2', 'tool': 'close_valve', 'args': {'valve': 'bypass_valve'}},
                        {'id': 's3', 'tool': 'open_valve', 'args': {'valve': 'main_valve'}},
                    ]
                },
                'else': {'repeat': {'id': 's5', 'tool': 'take_photo', 'args': {'target': 'pump'}}, 'times': 2},
            },
            {'parallel': [SET, TYPED], 'policy': 'all'},
        ]
    },
    'uses': [{'source': 'manual p. 7', 'trust': 'document'}],
}  # fmt: skip
GOOD: bytes = rfc8785.dumps(PLAN)

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|true|false|null|[{}\[\]:,]')
TOKENS: list[str] = _TOKEN.findall(GOOD.decode())
SPACES = (
    '\x0b',
    '\x0c',
    '\x00',
    '\x1b',
    '\x7f',
    '\x85',
    '\xa0',
    '\u2003',
    '\u2028',
    '\u2029',
    '\u200b',
    '\u3000',
    '\ufeff',
)
COMMENTS = ('//x\n', '/*x*/', '#x\n', '--x\n', '<!--x-->', ';', '\\')
NUMBERS = (
    '+1', '01', '-01', '00', '.5', '-.5', '5.', '-', '--1', '+', '1e', '1e+', '1E-', '1e5.5', '1.2.3', '1..2',
    '0x10', '0b1', '0o7', '1_000', '1,5', '1 000', '10L', '1f', '1e5e5', '١', '１', '²', '½', 'Ⅷ', '−1', '1٫5', '1/2',
    '(1)', '1%', '1bar', 'NaN', '-NaN', 'nan', 'Infinity', '-Infinity', '+Infinity', 'inf', '-inf', '1.#INF', 'Inf',
    '∞',
)  # fmt: skip
LITERALS = (
    'True', 'FALSE', 'Null', 'nul', 'tru', 'nulll', 'truefalse', 'nil', 'None', 'undefined', 'yes', 'no', 'on',
    'void', '~', 'new Date()', 'function(){}', '`x`', '$x', '@x', '*', '&x', '!!x', '<x/>', "b'x'", "u'x'", '(1,)',
    '{1}', '[1:2]', ':a', '/a/',
)  # fmt: skip
STRINGS = (
    "'x'", 'x', '"x', 'x"', '"x"y"', '"""x"""', '“x”', '«x»', "''", '"\\a"', '"\\x41"', '"\\u12"', '"\\u123g"',
    '"\\u{41}"', '"\\U00000041"', '"\\\'"', '"\\0"', '"\\', '"\\"', '"\\ "', '"\\\n"', '"\\u"', '"\\uD83D\\u"',
    '"a""b"', '"a"+"b"',
)  # fmt: skip
BYTES = (
    b'\xff', b'\xfe', b'\x80', b'\xbf', b'\xc0\x80', b'\xc1\xbf', b'\xe0\x80\x80', b'\xf0\x80\x80\x80',
    b'\xed\xa0\x80', b'\xed\xbf\xbf', b'\xed\xa0\xbd\xed\xb8\x80', b'\xf4\x90\x80\x80', b'\xf5\x80\x80\x80',
    b'\xf8\x88\x80\x80\x80', b'\xe2\x82', b'\xf0\x9f\x98', b'\xe9', b'\xc3\x28',
)  # fmt: skip


def malformed() -> Iterator[tuple[str, bytes]]:
    """Yield what is not JSON, by kind: structure, white space, strings, numbers, literals, encoding."""
    for index, token in enumerate(TOKENS):
        yield from _structure(index, token)
        if token[0] == '"':
            yield from (('string', _with(index, text)) for text in STRINGS[index % 3 :: 3])
            code = index % 32
            yield 'control', _with(index, f'"a{chr(code)}b"')
            raw = BYTES[index % len(BYTES)]
            yield 'encoding', _with(index, '"a?b"').replace(b'?', raw)
        elif token[0] not in '{}[]:,':
            yield from (('number', _with(index, text)) for text in NUMBERS)
            yield from (('literal', _with(index, text)) for text in LITERALS)
        yield 'space', _with(index, SPACES[index % len(SPACES)] + token)
        yield 'comment', _with(index, COMMENTS[index % len(COMMENTS)] + token)
        yield 'cut', ''.join(TOKENS[:index]).encode()
    for coding in ('utf-16', 'utf-16-le', 'utf-16-be', 'utf-32', 'utf-7', 'utf-8-sig'):
        text = GOOD.decode()
        yield 'encoding', text.encode(coding) if coding != 'utf-7' else text.replace('"', '+ACI-').encode()
    for tail in (b',', b'}', b']', b'\x00', b'null', b'{}', GOOD, b'/**/', b'\xff', b'"', b';', b'\x1a'):
        yield 'tail', GOOD + tail
        yield 'head', tail + GOOD
    for alone in (
        b'',
        b' ',
        b'\n',
        b'\x00',
        b'{',
        b'}',
        b'[',
        b']',
        b'"',
        b'-',
        b',',
        b':',
        b'\\',
        b'{]',
        b'[}',
        b'{,}',
        b'[,]',
    ):
        yield 'alone', alone


def _structure(index: int, token: str) -> Iterator[tuple[str, bytes]]:
    if token not in '{}[]:,':
        return
    yield 'missing', _with(index, '')
    yield 'doubled', _with(index, token * 2)
    for other in '{}[]:,;=':
        if other != token:
            yield 'exchanged', _with(index, other)
    if token in '}]':
        yield 'comma', _with(index, ',' + token)
    elif token in '{[':
        yield 'comma', _with(index, token + ',')


def _with(index: int, text: str) -> bytes:
    return ''.join([*TOKENS[:index], text, *TOKENS[index + 1 :]]).encode('utf-8', 'surrogatepass')


# deep and huge -------------------------------------------------------------------------------------------------------
HUGE = (
    '1e400', '-1e400', '-0', '-0.0', '-0e5', '9007199254740992', '9007199254740993', '-9007199254740993', '1e16',
    '1e308', '1.7976931348623159e308', '18446744073709551616', '1e-400', '0e0', '1E5', '1.0', '10e0', '0.10',
    '1e1000000000',
)  # fmt: skip


def deep_and_huge(rng: random.Random, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield documents nested too deep or with numbers that no double holds exactly."""
    numbers = [index for index, token in enumerate(TOKENS) if token[0] in '-0123456789']
    for _ in range(count):
        kind = rng.randrange(4)
        if kind == 0:
            yield 'number', _with(rng.choice(numbers), rng.choice(HUGE))
        elif kind == 1:
            digits = ''.join(rng.choices('0123456789', k=rng.choice((16, 17, 18, 40, 400, 4299, 4301, 9000))))
            sign, tail = rng.choice(('', '-')), rng.choice(('', '.5', 'e5', 'e400', 'e-9999999', '.' + digits))
            yield 'digits', _with(rng.choice(numbers), f'{sign}9{digits}{tail}')
        else:
            depth = rng.choice((17, 18, 33, 100, 1000, 10_000, 30_000))
            yield 'deep', _nest(rng, depth, is_closed=kind == 2)


def _nest(rng: random.Random, depth: int, *, is_closed: bool) -> bytes:
    opener, closer = rng.choice(
        (('[', ']'), ('{"a":', '}'), ('[{"a":', '}]'), ('{"repeat":', ',"times":1}'), ('["[",', ']'))
    )
    text = opener * depth + ('1' + closer * depth if is_closed else '')
    where = rng.choice(('', f'{{"goal":"x","plan":"1","root":{text}}}', f'{{"x":"\\\\\\"","y":{text}}}'))
    return (where or text).encode()


def worst() -> Iterator[tuple[str, bytes]]:
    """Yield the documents that cost most to refuse."""
    plan = '{"goal":"x","plan":"1","root":%s}'
    yield 'brackets', b'[' * 100_000
    yield 'brackets', b'[' * 65_536
    yield 'objects', b'{"a":' * 13_000
    yield 'quotes', b'"' * 65_536
    yield 'backslashes', b'"' + b'\\' * 65_000
    yield 'escaped quotes', b'"' + b'\\"' * 32_767
    yield 'numbers', b'[' + b','.join([b'1.5'] * 16_000) + b']'
    yield 'empty', b'[' + b','.join([b'{}'] * 10_000) + b']'
    yield 'keys', b'{' + b','.join(b'"%05d":0' % index for index in range(6000)) + b'}'
    yield 'one key', (plan % ('{"%s":1}' % ('a' * 65_000))).encode()
    yield 'combining', (plan % ('{"%s":1}' % ('\u0301' * 30_000))).encode()
    yield 'wrong nodes', (plan % ('{"sequence":[' + ','.join(['{}'] * 8_000) + ']}')).encode()
    yield 'repeats', (plan % ('{"repeat":' * 12 + '{}' + ',"times":1}' * 12)).encode()
    steps = ','.join(['{"args":{},"id":"a","tool":"b"}'] * 1500)
    yield 'steps', (plan % ('{"sequence":[' + steps + ']}')).encode()
    yield 'digits', b'9' * 65_536
    yield 'fraction', b'0.' + b'0' * 65_000 + b'1'
    yield 'exponent', b'1e' + b'9' * 65_000
    yield 'spaces', b' ' * 65_536
    yield 'text', (plan.replace('"x"', '"%s"') % ('e\u0301' * 256, '{"args":{},"id":"a","tool":"dock"}')).encode()


# mutants of a plan that is right -------------------------------------------------------------------------------------
def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of every value below a value, itself first."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def _at(value: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        value = value[part]
    return value


def _unknown_field(rng: random.Random, item: Any) -> bool:
    if not isinstance(item, dict) or set(item) == {'gauge'}:
        return False
    names = (
        'topic',
        'speed_mps',
        'approved',
        'Tool',
        'tool ',
        'ref',
        'frame_id',
        '$ref',
        '__proto__',
        'value_psi',
        'unit',
    )
    item[next(name for name in rng.sample(names, len(names)) if name not in item)] = rng.choice(
        (1, 'x', True, None, {}, [])
    )
    return True


def _missing_field(rng: random.Random, item: Any) -> bool:
    required = [key for key in item if key not in ('uses', 'why', 'origin', 'else')] if isinstance(item, dict) else []
    if not required:
        return False
    del item[rng.choice(required)]
    return True


def _other_type(rng: random.Random, item: Any) -> bool:
    if not isinstance(item, dict) or not item:
        return False
    key = rng.choice(list(item))
    value = item[key]
    others: list[Any] = [None, [], [value], {}, {'ref': 1}, {'value': value}, True]
    if isinstance(value, int | float):
        others += [str(value), f'{value} bar', [value, 'bar'], '0x4', '４']
    elif isinstance(value, str):
        others += [1, 0, value.upper() + '\n', value + '\x00']
    else:
        others += ['x', 99]
    item[key] = rng.choice([other for other in others if other != value and (key, other) != ('uses', [])])
    return True


def _other_unit(rng: random.Random, item: Any) -> bool:
    if isinstance(item, dict) and 'value_bar' in item:
        name = rng.choice(('value_psi', 'value_kpa', 'value', 'value_Bar', 'valuebar', 'value_mbar', 'bar'))
        item[name] = item.pop('value_bar')
    elif isinstance(item, dict) and 'unit' in item:
        item['unit'] = rng.choice(('psi', 'kPa', 'Bar', 'bar ', 'mbar', '1', 'm', 'ｂar', 'BAR', 'b\u0430r'))
        if rng.random() < 0.2:
            del item['unit']
    elif isinstance(item, dict) and 'ref' in item and len(item) == 1:
        item['ref'] = rng.choice(('s0.value', 's1.unit', 's4.value', 's6.low', 's1.low.x', 's1', 'S1.low', 's1.gauge'))
    else:
        return False
    return True


def _other_value(rng: random.Random, item: Any) -> bool:
    wrong: dict[str, tuple[Any, ...]] = {
        'times': (0, -1, 65, 1.5, 2**53 - 1), 'max_age_s': (0, -1, 3601), 'policy': ('most', 'ALL', ''),
        'op': ('=', 'in', '=<', ''), 'on_unknown': ('skip', 'True', ''), 'plan': ('2', '1.0', ''),
        'trust': ('root', ''), 'origin': ('admin', ''), 'id': ('s1', 'S9', '', 'x' * 33, 's/9', '9s'),
        'tool': ('fly', 'Dock', 'dock\n', 'x' * 33), 'goal': ('x' * 513, '\x1b[2J'),
        'value_bar': (-0.1, 8.1, 6.05, 0.4, 1e15), 'gauge': ('main_valve', 'pump', ''),
        'valve': ('pressure_gauge', 'all', '*'), 'sequence': ([],), 'fallback': ([],), 'parallel': ([],),
        'why': ('x' * 257, '\u202e'), 'source': ('x' * 129, '\u200b'), 'target': ('moon', 'world.places', 'front'),
        'panel': ('setpoint_panel ', 'panel'), 'ref': ('s9.value', 's1.value\n', 's1.why'),
    }  # fmt: skip
    keys = [key for key in item if key in wrong] if isinstance(item, dict) else []
    if not keys:
        return False
    key = rng.choice(keys)
    value = rng.choice(wrong[key])
    if value == item[key]:
        return False
    item[key] = value
    return True


def _two_kinds(rng: random.Random, item: Any) -> bool:
    kinds = {'tool', 'sequence', 'fallback', 'parallel', 'repeat', 'if'}
    if not isinstance(item, dict) or not kinds & set(item):
        return False
    other = {
        'sequence': [READ],
        'fallback': [SET],
        'repeat': SET,
        'times': 1,
        'tool': 'dock',
        'then': SET,
        'policy': 'any',
    }
    key = rng.choice([key for key in other if key not in item])
    item[key] = copy.deepcopy(other[key])
    return True


OPERATORS: dict[str, Callable[[random.Random, Any], bool]] = {
    'unknown field': _unknown_field,
    'missing field': _missing_field,
    'other type': _other_type,
    'other unit': _other_unit,
    'other value': _other_value,
    'two kinds': _two_kinds,
}


def mutants(rng: random.Random, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield ``count`` mutants that are wrong by construction, in canonical form but for the doubled keys."""
    every = list(places(PLAN))
    done = 0
    while done < count:
        if rng.random() < 0.1:
            yield 'doubled key', _doubled_key(rng)
            done += 1
            continue
        name = rng.choice(list(OPERATORS))
        plan = copy.deepcopy(PLAN)
        if OPERATORS[name](rng, _at(plan, rng.choice(every))):
            yield name, rfc8785.dumps(plan)
            done += 1


def _doubled_key(rng: random.Random) -> bytes:
    keys = [index for index, token in enumerate(TOKENS[:-1]) if TOKENS[index + 1] == ':']
    index = rng.choice(keys)
    key = TOKENS[index] if rng.random() < 0.7 else f'"\\u{ord(TOKENS[index][1]):04x}{TOKENS[index][2:]}'
    return _with(index, f'{key}:{json.dumps(rng.choice((1, "x", None, True, {}, [])))},{TOKENS[index]}')


def byte_mutants(rng: random.Random, count: int) -> Iterator[bytes]:
    """Yield good bytes with one or two places changed, cut, doubled or exchanged."""
    while count:
        raw = bytearray(GOOD)
        for _ in range(rng.choice((1, 1, 1, 2))):
            index = rng.randrange(len(raw))
            other = rng.randrange(len(raw))
            match rng.randrange(5):
                case 0:
                    raw[index] ^= 1 << rng.randrange(8)
                case 1:
                    del raw[index]
                case 2:
                    raw[index:index] = rng.choice((b'0', b'"', b'\\', b' ', b'a', b'9', b'_', b'-'))
                case 3:
                    raw[index], raw[other] = raw[other], raw[index]
                case 4:
                    raw[index] = rng.choice(b'0123456789abcdefghijklmnopqrstuvwxyz_.')
        if bytes(raw) != GOOD:
            count -= 1
            yield bytes(raw)
