"""Results of trials, a line each: kept as they end, and found again by all that decides them."""

import json
import os
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import ValidationError

from taskroute.pipeline.experiments.trial import TrialResult
from taskroute.schemas.whole_files import write_whole

ResultT = TypeVar("ResultT", bound=TrialResult)


class TrialFile(Generic[ResultT]):
    """Results by key, a line each.

    Args:
        path: Made when the first result is added. A line that a kill has cut short is removed.
        result: Class of its lines.
    """

    def __init__(self, path: Path, result: type[ResultT]):
        self._path, self._result = path, result
        self._lines: dict[str, str] = {}
        # A kill may have cut the last line anywhere, within a character, too.
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        lines = text.splitlines()
        for line in lines:
            try:
                self._lines[json.loads(line)["key"]] = line
            except (ValueError, TypeError, KeyError):
                continue
        if len(self._lines) < len(lines) or (text and not text.endswith("\n")):
            write_whole(path, "".join(f"{line}\n" for line in self._lines.values()))

    def find(self, key: str) -> ResultT | None:
        """The result of a trial that has ended."""
        try:
            return self._result.model_validate_json(self._lines[key])
        except (KeyError, ValidationError):
            return None

    def add(self, result: ResultT) -> None:
        """Appends a result; it is on the disk when this returns."""
        line = result.model_dump_json()
        self._lines[result.key] = line
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
            file.flush()
            os.fsync(file.fileno())
