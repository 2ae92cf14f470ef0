"""Trees of files that dictionaries are read from: a folder, a zip file, or a hub repository.

A tree knows its files' names, relative and with `/`, and reads one at a time into memory. Nothing
is ever extracted, so no name in a zip file can reach another place; a zip file whose names would
try to is refused all the same. From the hub only what is read is fetched. Without a network a
repository is what its snapshot on this machine holds.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile, ZipInfo

from dagster_project.interp.dictionary_checks import DictionaryError
from dagster_project.studies.rules import is_path

ZIP = ".zip"
DEEPEST = 12  # folders below one another
MOST_DEFLATED = 200  # times that a member of some size may grow when it is read
SMALL = 1 << 20  # bytes of a member that may grow more


@dataclass(frozen=True)
class FileTree:
    """Files by name."""

    label: Path  # a folder, a zip file, or hub:<id>: what errors name
    names: tuple[str, ...]  # sorted
    content: Callable[[str], bytes]  # of a name
    size: Callable[[str], int]  # of a name, in bytes; 0 where the hub does not say
    whole: bool = True  # all files there are; else those that were fetched once

    def folder(self, name: str) -> Folder:
        return Folder(self, name)


@dataclass(frozen=True)
class Folder:
    """A folder of a tree."""

    tree: FileTree
    name: str  # "" is the root

    def file(self, name: str) -> Path:
        """What errors name."""
        return self.tree.label / self.name / name

    def has(self, name: str) -> bool:
        return str(PurePosixPath(self.name) / name) in self.tree.names

    @property
    def size(self) -> int:
        """Bytes of the files in it, and not below."""
        inside = [n for n in self.tree.names if PurePosixPath(n).parent == PurePosixPath(self.name)]
        return sum(map(self.tree.size, inside))

    def read(self, name: str) -> bytes:
        """A file's content. Raises DictionaryError."""
        if not self.has(name):
            raise DictionaryError(self.file(name), "a file", "none")
        try:
            return self.tree.content(str(PurePosixPath(self.name) / name))
        except (OSError, ValueError) as error:  # ValueError: of the hub's client
            raise DictionaryError(self.file(name), "a file", _first_line(error)) from error
        except (BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:
            raise DictionaryError(self.file(name), "an undamaged file", error) from error


def open_tree(local: Path, source: str, revision: str) -> FileTree:
    """The local folder or zip file where it is there, else what the hub has of `source`: an id, or
    an id and a zip file in it (`<owner>/<name>/<file>.zip`).

    Raises DictionaryError where there is neither. The hub is not asked for a `source` that is
    written like a path.
    """
    if local.is_dir():
        return folder_tree(local)
    if local.is_file():
        return zip_tree(local)
    if is_path(source):
        raise DictionaryError(local, "a folder or zip file of dictionaries", "none")
    owner_and_name, _, file = _split_id(source)
    try:
        tree = hub_tree(owner_and_name, revision)
        return zip_tree(_fetched(owner_and_name, revision, file)) if file else tree
    except DictionaryError:
        raise
    except (OSError, ValueError) as error:  # no such repository, no network, not an id
        expected = f'a folder or zip file, or "{source}" on the hub'
        raise DictionaryError(local, expected, _first_line(error)) from error


def folder_tree(root: Path) -> FileTree:
    """The files below a folder, through links too. Raises DictionaryError."""
    if not root.is_dir():
        raise DictionaryError(root, "a folder of dictionaries", "none")
    return FileTree(
        root,
        tuple(sorted(_names(root))),
        lambda name: (root / name).read_bytes(),
        lambda name: (root / name).stat().st_size,
    )


def _names(root: Path) -> list[str]:
    found, seen = [], set()
    for folder, folders, files in os.walk(root, followlinks=True):
        here = Path(folder).relative_to(root)
        real = Path(folder).resolve()
        if real in seen or len(here.parts) >= DEEPEST:  # a link that leads back
            folders.clear()
        seen.add(real)
        found += [(here / file).as_posix() for file in files]
    return found


def zip_tree(file: Path) -> FileTree:
    """The members of a zip file, whose checksums are checked as they are read. DictionaryError."""
    try:
        with ZipFile(file) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
    except (OSError, BadZipFile) as error:
        raise DictionaryError(file, "a zip file", error) from error
    for info in members:
        _check_member(file, info)
    names = tuple(sorted(info.filename for info in members))
    if len(set(names)) < len(names):
        twice = next(a for a, b in pairwise(names) if a == b)
        raise DictionaryError(file, "members of different names", f"{twice} twice")

    def content(name: str) -> bytes:
        with ZipFile(file) as archive:
            return archive.read(name)

    sizes = {info.filename: info.file_size for info in members}
    return FileTree(file, names, content, sizes.__getitem__)


def _check_member(file: Path, info: ZipInfo) -> None:
    name = info.filename
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name:
        raise DictionaryError(file, "names of members inside the zip file", name)
    if info.flag_bits & 1:
        raise DictionaryError(file, "members without a password", name)
    if info.file_size > max(SMALL, MOST_DEFLATED * info.compress_size):
        grown = f"{name}, of {info.compress_size:,} bytes, with {info.file_size:,} in it"
        raise DictionaryError(file, f"members that grow {MOST_DEFLATED} times at most", grown)


@lru_cache(maxsize=32)
def hub_tree(repository: str, revision: str) -> FileTree:
    """The files of a repository. Raises OSError or ValueError of the hub's client."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        found = HfApi().model_info(  # asks once, not six times
            repository, revision=revision or None, files_metadata=True
        )
    except (HfHubHTTPError, HFValidationError):  # no such repository, no right to read it, no id
        raise
    except Exception:  # no network, which fails in the ways of whatever client the hub's uses
        here = snapshot_download(repository, revision=revision or None, local_files_only=True)
        return replace(folder_tree(Path(here)), whole=False)
    label, sizes = Path(f"hub:{repository}"), {f.rfilename: f.size for f in found.siblings or []}
    return FileTree(
        label,
        tuple(sorted(file.rfilename for file in found.siblings or [])),
        lambda name: _fetched(repository, revision, name).read_bytes(),
        lambda name: sizes.get(name) or 0,
    )


def _fetched(repository: str, revision: str, name: str) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(repository, name, revision=revision or None))


def _split_id(source: str) -> tuple[str, str, str]:
    """Id, "/" and the zip file of `<owner>/<name>/<file>.zip`."""
    parts = source.split("/")
    if source.endswith(ZIP) and len(parts) > 2:
        return "/".join(parts[:2]), "/", "/".join(parts[2:])
    return source, "", ""


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
