# SPDX-License-Identifier: Apache-2.0
"""Recordings of ROS topics as MCAP files with the profile ``ros2``: CDR bytes as they came, and message definitions.

Any tool that reads MCAP reads them: ``ros2 bag``, Foxglove, ``mcap``, ``rosbags``.
"""

from __future__ import annotations

import functools
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mcap.exceptions import McapError
from mcap.records import Channel, Message, Schema
from mcap.stream_reader import StreamReader
from mcap.writer import CompressionType, Writer
from zstandard import ZstdError

from gemma4_ros.core.errors import ConfigError, ConversionError

__all__ = ['Recording', 'definition', 'recorded']

CHUNK_BYTES = 512 * 1024
_SEPARATOR = '=' * 80
_FIELD = re.compile(r'(?P<type>[A-Za-z][A-Za-z0-9_/]*)(?P<bound><=\d+)?(?P<array>\[[^\]]*\])?\s+[a-zA-Z]')
_TYPE = re.compile(r'([a-z][a-z0-9_]*)/msg/([A-Z][A-Za-z0-9]*)')


class Recording:
    """
    One file that is being written.

    Whole chunks reach the file with every `flush`: after a kill the file ends without its index, and readers that go
    through it from the start (``mcap recover``, ``mcap.stream_reader``) find everything up to the last flush. Never
    more than one chunk is held in memory.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = path.open('xb')  # never over a recording that is there
        except OSError as error:
            raise ConfigError(f'parameter file: cannot write the recording {path}: {error.strerror}') from None
        self.path = path
        self.messages = 0
        self._writer = Writer(self._file, chunk_size=CHUNK_BYTES, compression=CompressionType.ZSTD)
        self._writer.start(profile='ros2', library='gemma4_ros')
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, int] = {}
        self._counts: dict[str, int] = {}

    @property
    def size_bytes(self) -> int:
        """Bytes in the file so far."""
        return self._file.tell()

    @property
    def counts(self) -> dict[str, int]:
        """Messages by topic."""
        return dict(self._counts)

    def add_topic(self, topic: str, type_name: str) -> None:
        """Announce a topic; raises ConversionError where its definition is not installed."""
        if topic in self._channels:
            return
        if type_name not in self._schemas:
            text = definition(type_name).encode()
            self._schemas[type_name] = self._writer.register_schema(name=type_name, encoding='ros2msg', data=text)
        self._channels[topic] = self._writer.register_channel(topic, 'cdr', self._schemas[type_name])
        self._counts[topic] = 0

    def write(self, topic: str, data: bytes, received_ns: int, published_ns: int) -> None:
        """Add a message of an announced topic."""
        self._counts[topic] += 1
        self.messages += 1
        self._writer.add_message(self._channels[topic], received_ns, data, published_ns, self._counts[topic])

    def flush(self) -> None:
        """Hand everything to the operating system."""
        self._writer.flush()  # type: ignore[no-untyped-call]  # mcap leaves it untyped
        self._file.flush()

    def close(self) -> None:
        """Write the index and close."""
        if self._file.closed:
            return
        try:
            self._writer.finish()  # type: ignore[no-untyped-call]  # mcap leaves it untyped
            self._file.flush()
            os.fsync(self._file.fileno())
        finally:
            self._file.close()


def recorded(path: Path, topic: str, type_name: str) -> Iterator[tuple[int, bytes]]:
    """
    Yield the messages of a recording's topic with the time at which each came, ns since 1970; also without an index.

    Parameters
    ----------
    path : Path
        An MCAP file; one that is cut off is read as far as it goes.
    topic : str
        Its relative name: ``executor/tree`` also finds ``/robot7/executor/tree``.
    type_name : str
        Of its messages; they must have been recorded with the definition that is installed.

    Raises
    ------
    ConfigError
        The file cannot be read, is no MCAP file, or its topic has another definition.

    """
    found: set[int] = set()
    schemas: dict[int, bytes] = {}
    is_mcap = False
    try:
        with path.open('rb') as file:
            for record in StreamReader(file).records:
                is_mcap = True
                if isinstance(record, Schema):
                    schemas[record.id] = record.data
                elif isinstance(record, Channel) and f'/{record.topic}'.endswith(f'/{topic}'):
                    if schemas.get(record.schema_id) != definition(type_name).encode():
                        raise ConfigError(f'{path}: {record.topic} holds another {type_name}; use the version of then')
                    found.add(record.id)
                elif isinstance(record, Message) and record.channel_id in found:
                    yield record.log_time, record.data
    except OSError as error:
        raise ConfigError(f'{path} cannot be read: {error.strerror}') from None
    except (McapError, ValueError, RuntimeError, ZstdError, struct.error) as error:
        if not is_mcap:
            raise ConfigError(f'{path} is no MCAP recording: {str(error)[:100]}') from None


@functools.cache
def definition(type_name: str) -> str:
    """
    Return the text of a message type followed by those of all types that it uses, as ``ros2msg`` schemas want it.

    Parameters
    ----------
    type_name : str
        ``std_msgs/msg/String``.

    Raises
    ------
    ConversionError
        It is not a message, or its file is not installed.

    """
    parts = [_own_text(type_name)]
    seen, waiting = {type_name}, _used(type_name)
    while waiting:
        name = waiting.pop(0)
        if name in seen:
            continue
        seen.add(name)
        package, _, short = name.partition('/msg/')
        parts.append(f'{_SEPARATOR}\nMSG: {package}/{short}\n{_own_text(name)}')
        waiting += _used(name)
    return '\n'.join(parts)


def _own_text(type_name: str) -> str:
    match = _TYPE.fullmatch(type_name)
    if match is None:
        raise ConversionError(f'{type_name!r} is not a message type; wants package/msg/Name')
    package, short = match.groups()
    for prefix in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep):
        path = Path(prefix) / 'share' / package / 'msg' / f'{short}.msg'
        if prefix and path.is_file():
            return path.read_text(encoding='utf-8')
    raise ConversionError(f'{type_name}: no {package}/msg/{short}.msg below AMENT_PREFIX_PATH; source its overlay')


def _used(type_name: str) -> list[str]:
    """Return the message types that a definition's fields name."""
    package = type_name.partition('/')[0]
    names = []
    for line in _own_text(type_name).splitlines():
        match = _FIELD.match(line.split('#', 1)[0].strip())
        kind = match['type'] if match else ''
        if kind == 'Header':
            names.append('std_msgs/msg/Header')
        elif '/' in kind:
            names.append(kind if '/msg/' in kind else kind.replace('/', '/msg/'))
        elif kind[:1].isupper():
            names.append(f'{package}/msg/{kind}')
    return names
