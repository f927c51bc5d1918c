"""Pattern of a log's files: of a folder, or of files that are named by days."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from taskroute.components.logs import log_files
from taskroute.schemas.errors import DataError

_WINDOW_DAYS = 7
_MOST_DAYS = 60  # of a folder: a window of more is for a person to choose
_SUFFIXES = (".csv", ".jsonl", ".ndjson", ".json", ".parquet", ".csv.gz", ".jsonl.gz",
             ".ndjson.gz", ".json.gz", ".tsv", ".tsv.gz")  # fmt: skip
# 2024-03-01, 20240301, 2024/03/01, and folders year=2024/month=03/day=01.
_DAY = re.compile(
    r"(?<!\d)(?:year=)?((?:19|20)\d\d)([-_./]?)(?:month=)?(\d\d)\2(?:day=)?(\d\d)(?!\d)"
)


def pattern_of(log: str) -> tuple[str, int]:
    """Path for `source.path`, and the number of days of its window.

    A folder becomes a pattern of the files in it; files that are named by days, each by one, become
    a path with {YYYY}, {MM} and {DD}.

    Args:
        log: File, folder or pattern; a path with fields stays as it is.

    Raises:
        DataError: If a folder holds no log.
    """
    if "{" in log or log_files.is_remote(log):
        return log, _WINDOW_DAYS
    if Path(log).is_dir():
        files = _files_in(log)
    elif Path(log).is_file():
        return log, _WINDOW_DAYS
    else:
        files = log_files.list_files(log)
    folder = log if Path(log).is_dir() else os.path.commonpath([os.path.dirname(f) for f in files])
    names = [os.path.relpath(file, folder or ".") for file in files]
    named = _by_day(names)
    if named is not None:
        pattern, found = named
        num_days = (max(found) - min(found)).days + 1
        return os.path.join(folder, pattern), min(num_days, _MOST_DAYS)
    if not Path(log).is_dir():
        return log, _WINDOW_DAYS
    return os.path.join(folder, _plain_pattern(names)), _WINDOW_DAYS


def _files_in(folder: str) -> list[str]:
    """Files of the kind of which the folder has most, with those of its folders."""
    found: dict[str, list[str]] = {}
    for file in sorted(Path(folder).rglob("*")):
        inside = file.relative_to(folder).parts
        kind = next((suffix for suffix in _SUFFIXES if file.name.lower().endswith(suffix)), None)
        if kind is None or not file.is_file() or any(part[0] in "._" for part in inside):
            continue
        found.setdefault(kind, []).append(str(file))
    if not found:
        raise DataError(f"{folder}: holds no file that ends in .csv, .jsonl or .parquet")
    return max(found.values(), key=len)


def _by_day(names: Sequence[str]) -> tuple[str, list[date]] | None:
    """Pattern with a day's fields, and the days; None where not every name has a day of its own."""
    patterns: Counter[str] = Counter()
    found: list[date] = []
    for name in names:
        matches = list(_DAY.finditer(name))
        if not matches:
            return None
        match = matches[-1]
        year, _, month, day = match.groups()
        try:
            found.append(date(int(year), int(month), int(day)))
        except ValueError:
            return None
        fields = match[0].replace(year, "{YYYY}", 1)
        at = fields.index("}") + 1
        rest = fields[at:].replace(month, "{MM}", 1)
        at_month = rest.index("}") + 1
        fields = fields[:at] + rest[:at_month] + rest[at_month:].replace(day, "{DD}", 1)
        patterns[name[: match.start()] + fields + "\0" + name[match.end() :]] += 1
    if len(set(found)) < 2:
        return None
    if len(patterns) > 1:
        patterns = Counter(_loosened(pattern) for pattern in patterns.elements())
    if len(patterns) > 1:
        return None
    (pattern,) = patterns
    return pattern.replace("\0", ""), found


def _loosened(pattern: str) -> str:
    """Pattern with any file's name after the day."""
    before, _, after = pattern.partition("\0")
    folders, slash, name = after.rpartition("/")
    suffix = _suffix(name)
    return f"{before}{folders}{slash}*{suffix}"


def _plain_pattern(names: Sequence[str]) -> str:
    suffix = _suffix(names[0])
    depths = {name.count("/") for name in names}
    if depths == {0}:
        return f"*{suffix}"
    return f"**/*{suffix}"


def _suffix(name: str) -> str:
    kinds = [suffix for suffix in _SUFFIXES if name.lower().endswith(suffix)]
    return name[-len(kinds[0]) :] if kinds else ""
