"""File of trial results, one a line, written as trials end and read again by their keys."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import ValidationError

from taskroute.pipeline.experiments.trial import TrialResult
from taskroute.schemas.whole_files import write_whole

ResultT = TypeVar("ResultT", bound=TrialResult)


class TrialFile(Generic[ResultT]):
    """Results by key, a line each.

    Args:
        path: Path of the file, made with the first result; the next one drops lines that are none.
        result: Class of its lines.
    """

    def __init__(self, path: Path, result: type[ResultT]):
        self._path, self._result = path, result
        self._lines: dict[str, str] = {}
        # Another version's line may be anything, and an older one's may be cut within a character.
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        for line in text.splitlines():
            with suppress(ValueError, TypeError, KeyError):
                self._lines[json.loads(line)["key"]] = line

    def find(self, key: str) -> ResultT | None:
        """Result of a finished trial, if there is any."""
        try:
            return self._result.model_validate_json(self._lines[key])
        except (KeyError, ValidationError):
            return None

    def add(self, result: ResultT) -> None:
        """Adds a result; it is on the disk when this returns."""
        self._lines[result.key] = result.model_dump_json()
        write_whole(self._path, "".join(f"{line}\n" for line in self._lines.values()))
