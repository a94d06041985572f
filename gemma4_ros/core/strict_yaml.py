# SPDX-License-Identifier: Apache-2.0
"""A strict subset of YAML: what you read is what you get, and every error names the line."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from gemma4_ros.core.errors import ConfigError

_Loader = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)
_INT = re.compile(r'-?(0|[1-9][0-9]*)\Z')
_FLOAT = re.compile(r'-?(0|[1-9][0-9]*)\.[0-9]+([eE][-+]?[0-9]+)?\Z')
_PLAIN = {'true': True, 'false': False, 'null': None}
Path = tuple[str | int, ...]
MAX_BYTES = 1 << 20
MAX_INTEGER = 2**53 - 1
MAX_DEPTH = 32


@dataclass(frozen=True, slots=True)
class Document:
    """Parsed values with the line on which each stands.

    Parameters
    ----------
    source : str
        Name for messages, usually the file's.
    root : Any
        dict, list, str, int, float, bool or None; nested.
    lines : dict
        1-based line of each value by its path.

    """

    source: str
    root: Any
    lines: dict[Path, int] = field(default_factory=dict)

    def at(self, path: Path, key: str | None = None) -> str:
        """Return ``source:line: path`` for messages: the nearest line known, of ``key`` in the mapping if given."""
        known = path if key is None else (*path, key)
        while known and known not in self.lines:
            known = known[:-1]
        name = '.'.join(str(part) for part in path)
        where = f'{self.source}:{self.lines.get(known, 1)}'
        return f'{where}: {name}' if name else where


def parse(text: str, source: str, error: type[ConfigError] = ConfigError) -> Document:
    """Parse ``text``; refuse what YAML would silently change.

    Refused, each with its line: duplicate keys, anchors and aliases, tags, merge keys, several documents, words that
    YAML 1.1 turns into booleans (yes, no, on, off), octal, hexadecimal and base-60 numbers, infinities, numbers too
    large or small to be exact, dates, and texts over 1 MiB.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError as problem:
        line = text.count('\n', 0, problem.start) + 1
        raise error(f'{source}:{line}: a lone surrogate is no text; write the whole character') from None
    if size > MAX_BYTES:
        raise error(f'{source}: larger than {MAX_BYTES} bytes; split the file')
    try:
        _refuse_events(text, source, error)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as problem:
        mark = getattr(problem, 'problem_mark', None)
        line = mark.line + 1 if mark is not None else 1
        raise error(f'{source}:{line}: not YAML: {getattr(problem, "problem", None) or problem}') from None
    if node is None:
        raise error(f'{source}: the file is empty')
    document = Document(source, None)
    root = _Builder(source, error, document.lines).build(node, ())
    return Document(source, root, document.lines)


def _refuse_events(text: str, source: str, error: type[ConfigError]) -> None:
    documents = depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        line = _line(event)
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise error(f'{source}:{line}: a second document; keep one a file')
        if isinstance(event, yaml.AliasEvent) or getattr(event, 'anchor', None):
            raise error(f'{source}:{line}: anchors and aliases are not taken; write the value out')
        opens = isinstance(event, yaml.CollectionStartEvent)
        depth += 1 if opens else -1 if isinstance(event, yaml.CollectionEndEvent) else 0
        if depth > MAX_DEPTH + 1:  # before anything recurses into it
            raise error(f'{source}:{line}: nested deeper than {MAX_DEPTH}')
        tag = getattr(event, 'tag', None)
        if tag:
            raise error(f'{source}:{line}: the tag {tag!r} is not taken; remove it')


def _line(item: yaml.Node | yaml.Event) -> int:
    return item.start_mark.line + 1 if item.start_mark is not None else 1


class _Builder:
    def __init__(self, source: str, error: type[ConfigError], lines: dict[Path, int]) -> None:
        self._source, self._error, self._lines = source, error, lines

    def build(self, node: yaml.Node, path: Path) -> Any:
        self._lines.setdefault(path, _line(node))
        if len(path) > MAX_DEPTH:
            raise self._fail(node, f'nested deeper than {MAX_DEPTH}')
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(child, (*path, index)) for index, child in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._fail(key_node, 'a key must be a word')
            key = key_node.value
            if key == '<<':
                raise self._fail(key_node, 'merge keys are not taken; write the values out')
            if key in result:
                raise self._fail(key_node, f'the key {key!r} stands twice; keep one of them')
            self._lines[(*path, key)] = _line(key_node)
            result[key] = self.build(value_node, (*path, key))
        return result

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        text = node.value
        if node.style:  # quoted or block: a string as written; libyaml gives '' for plain
            return text
        if text in _PLAIN:
            return _PLAIN[text]
        if _INT.match(text):
            return self._integer(node, path)
        if _FLOAT.match(text):
            return self._float(node, path)
        if not node.tag.endswith(':str'):
            raise self._fail(
                node, f'{text!r} is not clear: YAML would take it for something else; put it in quotes', path
            )
        return text

    def _integer(self, node: yaml.ScalarNode, path: Path) -> int:
        text = node.value
        if len(text) > 17 or abs(int(text)) > MAX_INTEGER:
            raise self._fail(node, f'{text[:24]} is too large: at most 2^53 - 1 is exact', path)
        return int(text)

    def _float(self, node: yaml.ScalarNode, path: Path) -> float:
        text = node.value
        number = float(text)
        if not math.isfinite(number):
            raise self._fail(node, f'{text[:24]} is too large for a number; the largest is 1.7e308', path)
        if number == 0.0 and re.search('[1-9]', re.split('[eE]', text)[0]):
            raise self._fail(node, f'{text[:24]} is too small: it would be taken as 0', path)
        return number

    def _fail(self, node: yaml.Node, what: str, path: Path = ()) -> ConfigError:
        where = f'{".".join(map(str, path))}: ' if path else ''
        return self._error(f'{self._source}:{_line(node)}: {where}{what}')
