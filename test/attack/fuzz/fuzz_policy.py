# SPDX-License-Identifier: Apache-2.0
"""Whatever the loaders of policy, world and tools take is what YAML says there; all else is refused with its file."""

from __future__ import annotations

import hashlib
from typing import Any

from engine import instrumented, run

with instrumented():
    from gemma4_ros.core.errors import ConfigError
    from gemma4_ros.core.gate.policy_file import load_policy
    from gemma4_ros.core.strict_yaml import parse
    from gemma4_ros.core.tools import load_tools
    from gemma4_ros.core.world_file import load_world

import yaml
from hand_gate import CONFIG

FILES = ('policy.yaml', 'world.yaml', 'tools/cell.yaml')
TEXTS = tuple((CONFIG / name).read_text(encoding='utf-8') for name in FILES)
WORLD = load_world(TEXTS[1])
TOOLSET = load_tools([(FILES[2], TEXTS[2])], WORLD)
SMALL = (
    b'a: [1, -2.5, true, null, "x", {b: c}]\n',
    b'a: &x NO\nb: *x\n',
    b'? a\n: |\n  010\n',
    b'{a: 0x1, "b\\n": 1:2}',
)
SEEDS = (*(bytes([index]) + text.encode() for index, text in enumerate(TEXTS)), *(b'\x03' + text for text in SMALL))


class WordKeys(getattr(yaml, 'CSafeLoader', yaml.SafeLoader)):  # type: ignore[misc]
    """YAML as PyYAML reads it, but for keys, which are words with us."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:
        """Build a mapping with keys as they are written."""
        return {key.value: self.construct_object(value, deep=True) for key, value in node.value}


def is_same(ours: Any, theirs: Any) -> bool:
    """Say whether two readings are one, with types; 1.5e3 is a number with us, as in YAML 1.2."""
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(is_same(item, theirs[key]) for key, item in ours.items())
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(is_same(*pair) for pair in zip(ours, theirs, strict=True))
    return repr(ours) == repr(float(theirs) if isinstance(ours, float) else theirs)


def check(data: bytes) -> bool:
    """Load the bytes as the file that the first byte names; say whether they were taken."""
    said = ''
    try:
        load(data[:1], data[1:].decode('utf-8', 'ignore'))
    except ConfigError as error:
        said = str(error)
        if not said.startswith('fuzzed.yaml') or '\x1b' in said:
            raise AssertionError(f'it names no file, or colours terminals: {said!a}') from None
    return not said


def load(which: bytes, text: str) -> None:
    """Load a text, and hold what came of it against plain YAML."""
    root = parse(text, 'fuzzed.yaml').root
    assert is_same(root, yaml.load(text, WordKeys)), 'YAML says something else'
    if which == b'\x00':
        policy = load_policy(text, 'fuzzed.yaml', TOOLSET)
        assert policy.sha256 == hashlib.sha256(text.encode()).hexdigest() and set(policy.tools) <= set(TOOLSET.tools)
    elif which == b'\x01':
        assert load_world(text, 'fuzzed.yaml').robot == root['robot']['id']
    elif which == b'\x02':
        tools = load_tools([('fuzzed.yaml', text)], WORLD)
        assert set(tools.tools) == set(root) - {'tools', 'intents'}


if __name__ == '__main__':
    run(check, SEEDS)
