# SPDX-License-Identifier: Apache-2.0
"""The folder of model files: where one lies, whether it is the right one, and how it gets there whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from gemma4_ros.backends.gguf_file import check_header
from gemma4_ros.backends.profiles import ModelProfile
from gemma4_ros.core.errors import ModelError, ModelFileError, ModelMissingError

__all__ = ['ModelStore', 'Progress', 'cache_folder', 'silent']

Progress = Callable[[str, int, int], None]
"""Called with what is being done, bytes done and bytes in all (0: not known)."""
_CHUNK = 1 << 22


def silent(_what: str, _done: int, _total: int) -> None:
    """Report nothing."""


def cache_folder() -> Path:
    """Return the folder of everything that can be fetched or computed again."""
    base = os.environ.get('XDG_CACHE_HOME', '')
    return (Path(base) if base else Path.home() / '.cache') / 'gemma4_ros'


class ModelStore:
    """
    Model files by their name in config/models.yaml.

    Parameters
    ----------
    folder : Path, optional
        Default: ``$GEMMA4_MODELS_DIR``, else ``models`` in the user's cache folder.

    """

    def __init__(self, folder: Path | None = None) -> None:
        chosen = os.environ.get('GEMMA4_MODELS_DIR', '')
        self.folder = folder or (Path(chosen) if chosen else cache_folder() / 'models')

    def path(self, profile: ModelProfile) -> Path:
        """Return where the file lies, or would lie."""
        return self.folder / profile.file

    def check_size(self, profile: ModelProfile) -> None:
        """Raise ModelMissingError or ModelFileError unless the file is there with the right size; takes no time."""
        check_header(self.path(profile), profile)

    def check(self, profile: ModelProfile, progress: Progress = silent, *, again: bool = False) -> str:
        """
        Return the SHA-256 of the file after checking size, header and checksum.

        The checksum is remembered with the file's size and time of change; ``again`` computes it anew.
        """
        return check_file(self.path(profile), profile, progress, again=again)

    def take(self, profile: ModelProfile, source: Path, progress: Progress = silent) -> Path:
        """Copy a file that somebody brought, if it is the right one."""
        try:
            total = source.stat().st_size
            with source.open('rb') as file:
                return self.fill(profile, _blocks(file, 'copying', total, progress))
        except FileNotFoundError as error:
            raise ModelMissingError(f'{source} is not there: give the path of the file that you brought') from error
        except OSError as error:
            raise ModelFileError(f'{source} cannot be copied to {self.folder}: {error.strerror}') from error

    def fill(self, profile: ModelProfile, blocks: Iterator[bytes]) -> Path:
        """Write a file from blocks of bytes; it gets its name only after size, header and checksum were right."""
        final = self.path(profile)
        part = final.with_suffix('.part')
        self.folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        try:
            with part.open('wb') as file:
                for block in blocks:
                    digest.update(block)
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())
            check_header(part, profile)
            self._compare(profile, digest.hexdigest(), profile.sha256)
            part.replace(final)
        finally:
            part.unlink(missing_ok=True)
        _remember(final, digest.hexdigest())
        return final

    def adopt(self, profile: ModelProfile, source: Path, sha256: str | None, progress: Progress = silent) -> Path:
        """Move a whole file of the same file system to its place, if it is the right one."""
        check_header(source, profile)
        digest = _sha256(source, progress)
        self._compare(profile, digest, profile.sha256 or sha256)
        source.replace(self.path(profile))
        _remember(self.path(profile), digest)
        return self.path(profile)

    @contextlib.contextmanager
    def lock(self, profile: ModelProfile) -> Iterator[None]:
        """Let one process fetch a file at a time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f'{profile.file}.lock').open('w') as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ModelError(f'{profile.file} is being fetched by another process: wait for it') from error
            yield

    @staticmethod
    def _compare(profile: ModelProfile, digest: str, wanted: str | None) -> None:
        if wanted is not None and digest != wanted:
            raise ModelFileError(
                f'{profile.file}: what came has SHA-256 {digest[:16]}…, wanted {wanted[:16]}…: '
                'it was not kept; try again, or ask where the file comes from'
            )


def check_file(path: Path, profile: ModelProfile, progress: Progress = silent, *, again: bool = False) -> str:
    """Return the SHA-256 of a file after checking size, header and checksum; raise ModelFileError."""
    check_header(path, profile)
    digest = '' if again else _remembered(path)
    if not digest:
        digest = _sha256(path, progress)
        _remember(path, digest)
    if profile.sha256 is not None and digest != profile.sha256:
        raise ModelFileError(
            f'{path} has SHA-256 {digest[:16]}…, wanted {profile.sha256[:16]}…: it is damaged or another file; '
            f'delete it and run: gemma4 model get {profile.id}'
        )
    return digest


def _remembered(path: Path) -> str:
    try:
        note = json.loads(_note(path).read_text(encoding='utf-8'))
        known = isinstance(note, dict) and {**note, 'sha256': ''} == {**_mark(path), 'sha256': ''}
    except (OSError, ValueError):
        return ''
    return str(note.get('sha256', '')) if known else ''


def _remember(path: Path, digest: str) -> None:
    with contextlib.suppress(OSError):  # a read-only folder only costs the next check its speed
        _note(path).write_text(json.dumps({**_mark(path), 'sha256': digest}), encoding='utf-8')


def _mark(path: Path) -> dict[str, int]:
    """Return what changes with a file; the time of change of its inode cannot be set back."""
    stat = path.stat()
    return {'size': stat.st_size, 'mtime_ns': stat.st_mtime_ns, 'ctime_ns': stat.st_ctime_ns}


def _note(path: Path) -> Path:
    return path.with_name(f'{path.name}.checked.json')


def _sha256(path: Path, progress: Progress) -> str:
    digest = hashlib.sha256()
    with path.open('rb') as file:
        for block in _blocks(file, 'checking', path.stat().st_size, progress):
            digest.update(block)
    return digest.hexdigest()


def _blocks(file: BinaryIO, what: str, total: int, progress: Progress) -> Iterator[bytes]:
    done = 0
    while block := file.read(_CHUNK):
        done += len(block)
        progress(what, done, total)
        yield block
