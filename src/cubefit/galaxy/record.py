"""What has been done with what: a step is done again only when its inputs or settings changed."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from cubefit.errors import InputError, LockedError, StoreError
from cubefit.io.result_files import appearing
from cubefit.store.lock import who_writes, writer_lock

NAME: Final = "steps.json"


class SeenFile(Struct, frozen=True, kw_only=True):
    """A file as it was when its contents were read."""

    size: int
    inode: int
    mtime_ns: int
    ctime_ns: int
    sha256: str

    def is_of(self, now: os.stat_result) -> bool:
        """Whether nobody has written to the file, or replaced it, since; dates can be set back."""
        then = (self.size, self.inode, self.mtime_ns, self.ctime_ns)
        return then == (now.st_size, now.st_ino, now.st_mtime_ns, now.st_ctime_ns)


class DoneStep(Struct, frozen=True, kw_only=True):
    """A finished step."""

    digest: str
    """Of its settings and of all that went into it."""
    made: dict[str, str]
    """Digest of each file that it made, by its path from the folder of the record."""
    told: dict[str, Any] = {}
    """What later steps and the reader of the log want to know of it."""
    warned: list[str] = []
    """What it complained of, in words."""


class Steps(Struct, kw_only=True):
    """All that a record holds."""

    files: dict[str, SeenFile] = {}
    """By their paths, from the folder of the record where they are in it."""
    steps: dict[str, DoneStep] = {}


class Record:
    """The finished steps of one folder, on disk after every one of them.

    Parameters
    ----------
    folder : Path
        Where the record and the products of the steps are.

    Raises
    ------
    StoreError
        If there is a damaged record.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / NAME
        self._held = Steps()
        if self.path.exists():
            try:
                self._held = msgspec.json.decode(self.path.read_bytes(), type=Steps)
            except msgspec.MsgspecError as error:
                raise StoreError(
                    f"{self.path} is damaged ({error}): remove it, then all steps are done again."
                ) from error

    def digest_of(self, path: Path) -> str:
        """Return the digest of a file's contents; read again only when it looks changed.

        Raises
        ------
        InputError
            If it cannot be read.
        """
        try:
            now = path.stat()
            seen = self._held.files.get(self._name_of(path))
            if seen and seen.is_of(now):
                return seen.sha256
            digest = sha256_of(path)
        except OSError as error:
            raise InputError(
                f"{path} cannot be read ({error.strerror}): give a file that can."
            ) from error
        self._held.files[self._name_of(path)] = SeenFile(
            size=now.st_size,
            inode=now.st_ino,
            mtime_ns=now.st_mtime_ns,
            ctime_ns=now.st_ctime_ns,
            sha256=digest,
        )
        return digest

    def _name_of(self, path: Path) -> str:
        """Return a path from the folder of the record, so that this may be moved."""
        inside = path.is_relative_to(self.folder)
        return str(path.relative_to(self.folder) if inside else path)

    def digest_of_all(self, paths: Iterable[Path], settings: Mapping[str, Any]) -> str:
        """Return the digest of settings, and of names and contents of files wherever they are."""
        digest = hashlib.sha256(msgspec.json.encode(settings, order="sorted"))
        for path in paths:
            digest.update(f"{path.name}={self.digest_of(path)};".encode())
        return digest.hexdigest()

    def told(self, step: str) -> Mapping[str, Any]:
        """Return what a step told when it was finished last; nothing where it never was."""
        found = self._held.steps.get(step)
        return {} if found is None else found.told

    def done(self, step: str, digest: str) -> DoneStep | None:
        """Return a finished step, if it was of that digest and its files are as it left them."""
        found = self._held.steps.get(step)
        if found is None or found.digest != digest:
            return None
        return found if len(self.made_by(step)) == len(found.made) else None

    def made_by(self, step: str) -> list[Path]:
        """Return the files that a step made when it was finished last, if they are as it left them.

        A file that has changed since is somebody's own.
        """
        found = self._held.steps.get(step)
        made = {self.folder / name: digest for name, digest in found.made.items()} if found else {}
        return [path for path in made if path.is_file() and self.digest_of(path) == made[path]]

    def finish(
        self,
        step: str,
        digest: str,
        made: Iterable[Path],
        told: Mapping[str, Any],
        warned: Iterable[str] = (),
    ) -> None:
        """Write down that a step is finished."""
        self._held.steps[step] = DoneStep(
            digest=digest,
            made={self._name_of(path): self.digest_of(path) for path in made},
            told=dict(told),
            warned=list(warned),
        )
        text = msgspec.json.format(msgspec.json.encode(self._held), indent=1)
        with appearing(self.path, (".json",), overwrite=True) as partial:
            partial.write_bytes(text)


@contextmanager
def sole_run(folder: Path) -> Iterator[None]:
    """Hold the right to fill a folder.

    Raises
    ------
    LockedError
        If another run holds it; names host, process and time.
    StoreError
        If the folder may not be written.
    """
    record = folder / NAME
    with ExitStack() as held:
        try:
            held.enter_context(writer_lock(record, "cubefit run"))
        except LockedError:
            raise LockedError(
                f"Another run fills {folder}: {who_writes(record) or 'it has just ended'}. Wait "
                "for it to end, or choose another galaxy.out."
            ) from None
        yield


@contextmanager
def kept_warnings() -> Iterator[list[str]]:
    """Collect what is warned of inside, for a record; where logs are shown it is shown as well.

    Where nobody shows logs, it is left to the reader of the record, unless an error ends the block.
    """
    kept = _Kept(logging.WARNING)
    log = logging.getLogger("cubefit")
    log.addHandler(kept)
    try:
        yield kept.messages
    except BaseException:
        log.removeHandler(kept)
        if not log.hasHandlers():
            for record in kept.records:
                log.handle(record)
        raise
    finally:
        log.removeHandler(kept)


class _Kept(logging.Handler):
    """Keeps records, and each message once."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.records: list[logging.LogRecord] = []
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        message = record.getMessage()
        if message not in self.messages:
            self.messages.append(message)


def sha256_of(path: Path) -> str:
    """Return the digest of a file's contents."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
