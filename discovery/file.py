"""`file`: backends in a file of lines, JSON or YAML, read again when it changes."""

import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

from discovery.blocking import Blocking
from discovery.contract import MAX_ANSWER, Answer, Discovery, DiscoveryError, Options
from discovery.document import specs_of
from discovery.fields import Required
from discovery.inotify import changes_of
from discovery.json_items import json_items
from discovery.line import parse_lines
from discovery.yaml_items import yaml_items


class FileOptions(Options):
    """Which file, and how to read it."""

    kind: Literal["file"] = "file"
    file_path: Required
    file_format: Literal["", "lines", "json", "yaml"] = ""
    """json and yaml: a list of objects with host, port, weight, priority, max_connections, sni, or of backend lines.
    "" = by the file's name: .json, .yaml or .yml, else lines."""


class File(Discovery):
    """Reads the whole file at each fetch; inotify tells of its replacement, a symbolic link's too, and of rewriting.

    To never be read half-written, a file has to be replaced by rename.
    """

    Options = FileOptions

    def __init__(self, options: FileOptions) -> None:
        super().__init__(options)
        self._path = Path(options.file_path)
        self.source = options.file_path
        by_name = {".json": "json", ".yaml": "yaml", ".yml": "yaml"}.get(self._path.suffix, "lines")
        self._format = options.file_format or by_name
        self._blocking = Blocking()

    async def fetch(self) -> Answer:
        try:
            text = (await self._blocking.call(_read, self._path)).decode("utf-8-sig")
            match self._format:
                case "json":
                    return await specs_of(json_items(text), self.skipped.add)
                case "yaml":
                    return await specs_of(yaml_items(text), self.skipped.add)
            return await parse_lines(text, self.skipped.add)
        except OSError as error:
            raise DiscoveryError(f"cannot read {self._path}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise DiscoveryError(f"{self._path} is no {self._format} file: {error}") from error

    def watch(self) -> AsyncIterator[None]:
        """Tells of changes of the file, and of the symbolic links that lead to it."""
        return changes_of(self._path)


def _read(path: Path) -> bytes:
    """The content. Raises OSError, and DiscoveryError for what is no regular file or too large."""
    # Without O_NONBLOCK the open of a FIFO waits for a writer.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise DiscoveryError(f"{path} is no regular file")
        content = file.read(MAX_ANSWER + 1)
    if len(content) > MAX_ANSWER:
        raise DiscoveryError(f"{path} is larger than {MAX_ANSWER >> 20} MiB")
    return content
