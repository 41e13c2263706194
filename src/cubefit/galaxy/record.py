"""What has been done with what: a step is done again only when its inputs or settings changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from cubefit.errors import InputError, StoreError
from cubefit.io.result_files import appearing

NAME: Final = "steps.json"


class SeenFile(Struct, frozen=True, kw_only=True):
    """A file as it was when its contents were read."""

    size: int
    mtime_ns: int
    sha256: str


class DoneStep(Struct, frozen=True, kw_only=True):
    """A finished step."""

    digest: str
    """Of its settings and of all that went into it."""
    made: dict[str, str]
    """Digest of each file that it made, by its path."""
    told: dict[str, Any] = {}
    """What later steps and the reader of the log want to know of it."""


class Steps(Struct, kw_only=True):
    """All that a record holds."""

    files: dict[str, SeenFile] = {}
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
            seen = self._held.files.get(str(path))
            if seen and (seen.size, seen.mtime_ns) == (now.st_size, now.st_mtime_ns):
                return seen.sha256
            digest = sha256_of(path)
        except OSError as error:
            raise InputError(
                f"{path} cannot be read ({error.strerror}): give a file that can."
            ) from error
        self._held.files[str(path)] = SeenFile(
            size=now.st_size, mtime_ns=now.st_mtime_ns, sha256=digest
        )
        return digest

    def digest_of_all(self, paths: Iterable[Path], settings: Mapping[str, Any]) -> str:
        """Return the digest of settings and of the contents of files."""
        digest = hashlib.sha256(msgspec.json.encode(settings, order="sorted"))
        for path in paths:
            digest.update(f"{path}={self.digest_of(path)};".encode())
        return digest.hexdigest()

    def knows(self, step: str) -> bool:
        """Whether a step was finished at any time."""
        return step in self._held.steps

    def done(self, step: str, digest: str) -> DoneStep | None:
        """Return a finished step, if it was of that digest and its files are as it left them."""
        found = self._held.steps.get(step)
        if found is None or found.digest != digest:
            return None
        whole = all(
            Path(path).is_file() and self.digest_of(Path(path)) == made
            for path, made in found.made.items()
        )
        return found if whole else None

    def finish(self, step: str, digest: str, made: Iterable[Path], told: Mapping[str, Any]) -> None:
        """Write down that a step is finished."""
        self._held.steps[step] = DoneStep(
            digest=digest,
            made={str(path): self.digest_of(path) for path in made},
            told=dict(told),
        )
        text = msgspec.json.format(msgspec.json.encode(self._held), indent=1)
        with appearing(self.path, (".json",), overwrite=True) as partial:
            partial.write_bytes(text)


def sha256_of(path: Path) -> str:
    """Return the digest of a file's contents."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
