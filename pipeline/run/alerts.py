"""The alert file: what CI, a pager or a person reads of the changes that were told."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from taskroute.components.measures.day_records import JudgedChange
from taskroute.schemas.whole_files import write_whole


def alert_list(changes: Sequence[JudgedChange]) -> list[dict[str, Any]]:
    """Those of the changes that are told, as JSON objects."""
    return [change.as_alert() for change in changes if change.alert]


def write_alerts(path: Path, facts: dict[str, Any], alerts: Sequence[dict[str, Any]]) -> None:
    """Replaces an alert file whole: the facts, and then `alerts`, which may be none."""
    write_whole(path, json.dumps({**facts, "alerts": list(alerts)}, indent=1) + "\n")
