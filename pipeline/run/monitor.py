"""`taskroute monitor`: training-serving skew, between a serving log and the last run's log.

No TensorFlow and no training: the serving log is counted in the cells that DayMonitor kept.
"""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from rich.console import Console
from rich.markup import escape

from taskroute.components.logs import log_files, log_reader
from taskroute.components.logs.bad_rows import BadRowCounts
from taskroute.components.logs.log_batch import RowCheck
from taskroute.components.measures.day_records import read_tables
from taskroute.components.measures.judge import judge, refuse_changes
from taskroute.components.measures.rows import row_hashes
from taskroute.components.measures.tables import (
    SERVING_SIGNALS,
    ColumnPlan,
    Tables,
    add,
    count_columns,
    groups_of,
    select,
)
from taskroute.pipeline.run.paths import RunPaths
from taskroute.schemas.change_record import (
    DayChanges,
    JudgedChange,
    ServingAlertFile,
    alerts_of,
    num_judged,
)
from taskroute.schemas.columns import feature_columns
from taskroute.schemas.errors import ConfigError, DataError
from taskroute.schemas.recommender import RecommenderConfig
from taskroute.schemas.run_record import RunRecord

_CHANGES = "DayMonitor.changes"


def monitor(config: RecommenderConfig, root: Path, serving_log: str) -> tuple[JudgedChange, ...]:
    """Compares a serving log with the log of the last run, prints and writes the alerts.

    Args:
        config: Config of the last run; the serving log has its features and its format.
        root: The pipeline root.
        serving_log: File, or pattern of files.

    Returns:
        All judged changes, alerts first.

    Raises:
        ConfigError: If no run has ended here, or it was of other features.
        DataError: If the log cannot be read, or too many of its rows are bad, or, with all
            written, if a change is beyond a limit that has `stop: true`.
    """
    paths = RunPaths(root.resolve(), config.name)
    run, folder = _last_run(paths)
    changes, tables = DayChanges.read(folder), read_tables(folder)
    serving_tables, num_rows = _count(config, changes, serving_log)
    serving_changes = judge(
        {span: select(one, SERVING_SIGNALS) for span, one in tables.items()},
        {serving_log: select(serving_tables, SERVING_SIGNALS)},
        config.monitoring,
        changes.histograms,
        config.evaluation.confidence,
    )
    alerts = ServingAlertFile(
        name=config.name,
        run=run,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        now=serving_log,
        judged=num_judged(serving_changes),
        changes=serving_changes,
        alerts=alerts_of(serving_changes),
    )
    alerts.write(paths.root)
    console = Console(highlight=False)
    console.print(f"[bold]{config.name}[/bold]: {num_rows:,} rows of {escape(serving_log)}")
    for alert in alerts.alerts:
        console.print(f"  [yellow]alert[/yellow] {escape(alert.sentence)}", soft_wrap=True)
    console.print(
        f"{len(alerts.alerts)} alerts, {alerts.judged} changes judged; in {paths.serving_alerts}",
        markup=False,
        soft_wrap=True,
    )
    refuse_changes(serving_changes)
    return serving_changes


def _last_run(paths: RunPaths) -> tuple[str, Path]:
    """Start of the last run, and the folder of its counts."""
    record = RunRecord.find(paths.root)
    if record is None or _CHANGES not in record.artifacts:
        raise ConfigError(
            f"{paths.last_run}: names no run that came to DayMonitor; call `taskroute run` first, "
            "or give its --root"
        )
    return record.started, paths.root / record.artifacts[_CHANGES]


def _count(config: RecommenderConfig, changes: DayChanges, serving_log: str) -> tuple[Tables, int]:
    """Counts the serving log: its tables, and its number of rows."""
    columns = feature_columns(config)
    by_column = {histogram.column: histogram for histogram in changes.histograms}
    for column in columns:
        histogram = by_column.get(column.name)
        if histogram is None or (histogram.terms is None) != (column.kind == "number"):
            raise ConfigError(
                f"the last run did not read the column '{column.name}' as this config does; run "
                "the pipeline with it first"
            )
    plan = ColumnPlan(
        histograms=tuple(by_column[column.name] for column in columns),
        group_key=config.evaluation.group_key,
    )
    total: Tables = {}
    bad, num_rows = BadRowCounts(), 0
    files = log_files.list_files(serving_log)
    log_reader.require_somewhere(
        serving_log, files, columns, config.source.format, config.source.csv
    )
    for number, file in enumerate(files):
        part, start = log_reader.Part(file), 0
        for batch in log_reader.read_batches(
            part, columns, config.source.format, config.source.csv
        ):
            check = RowCheck(batch)
            good = check.convert(columns).filter(pa.array(check.is_good))
            bad.add(check.bad_rows)
            num_rows += batch.num_rows + len(batch.passed_over)
            groups = groups_of(plan, good, row_hashes(number, start, good.num_rows))
            start += good.num_rows
            total = add([total, count_columns(plan, good, groups)])
    if num_rows == bad.total:
        raise DataError(
            f"{serving_log}: its files hold no row that can be used; check --serving-log"
        )
    bad.refuse_above(config.source.max_bad_fraction, num_rows, serving_log)
    return total, num_rows
