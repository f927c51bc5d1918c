"""`taskroute init`: reads a log, guesses a config, writes it, and says what to check."""

import math
import os
import re
from importlib.resources import files
from pathlib import Path

import yaml
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from taskroute.components.logs import log_files, sampling, spans
from taskroute.components.logs.bad_rows import BadRowCounts
from taskroute.components.logs.csv_dialect import guess_csv
from taskroute.components.logs.log_reader import LogFormat
from taskroute.components.measures.single_column_auc import leaks_by_column
from taskroute.pipeline.inspection.check import check_log
from taskroute.pipeline.inspection.log_sample import LogSample as CheckedSample
from taskroute.pipeline.inspection.plain_table import plain_table
from taskroute.pipeline.starter import days
from taskroute.pipeline.starter.columns import LogSample, read_columns
from taskroute.pipeline.starter.guess import Guess
from taskroute.pipeline.starter.guesses import group_column, guess, useless, without_leaks
from taskroute.pipeline.starter.text import config_text, csv_words
from taskroute.schemas.errors import ConfigError, DataError
from taskroute.schemas.recommender import RecommenderConfig
from taskroute.schemas.source import STANDARD_CSV, Source, Split

_FORMATS: dict[str, LogFormat] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
}
_ANY_SPLIT = Split(by="hash", key="any")  # in use until the columns are known
_MOST_BAD = 0.2
_LEAST_SECONDS = 100


def write_starter(log: str | None, output: Path | None) -> None:
    """Writes a config for a log, or a commented one to fill in, and prints what to do next.

    Args:
        log: File, folder or pattern, relative to the working folder; None for no log.
        output: Config to write; NAME.yaml in the working folder by default.

    Raises:
        ConfigError: If the config exists or cannot be written, or the log's name does not show its
            format.
        DataError: If the log cannot be read, or nothing in it looks like a label.
    """
    console = Console(highlight=False, soft_wrap=True)
    if log is None:
        output = output or Path("taskroute.yaml")
        text = (files("taskroute.examples") / "starter.yaml").read_text(encoding="utf-8")
        _write(output, text)
        console.print(f"{output}: a config to fill in; then `taskroute check {output}`")
        return
    output = output or Path(f"{_stem(log)}.yaml")
    if output.exists():
        _refuse_existing(output)
    with console.status(f"reading {log}"):
        source, window, sample = _read(log)
        try:
            guesses = guess(sample)
        except DataError as error:
            raise DataError(f"{log}: {error}") from None
        source = _with_split(source, sample, guesses)
        rows = sample.rows
        origin = sampling.extent(
            rows.num_rows, rows.total, log, is_exact=rows.is_exact, is_cut=rows.is_cut
        )
        if window is not None:
            origin += f", {window.spans[0]} to {window.spans[-1]}"
        name = _name(output)
        while True:
            text = config_text(name, source, sample, guesses, origin, BadRowCounts())
            config, checked = _check(text, log)
            without = without_leaks(guesses, leaks_by_column(config, checked.examples))
            if without == guesses:
                break
            guesses = without
        source = _with_bad_rows(source, checked)
        here = source.model_copy(update={"path": _path_from(output.parent, source.path)})
        text = config_text(name, here, sample, guesses, origin, checked.bad_rows)
    _write(output, text)
    _print(console, guesses, origin, output, checked, source)


def _read(log: str) -> tuple[Source, spans.Window | None, LogSample]:
    """Source without the parts that need its columns, its window, and rows of it."""
    path, num_days = days.pattern_of(log)
    log_format = _format(path)
    window_days = {"window_days": num_days, "max_missing_days": num_days} if "{" in path else {}
    try:
        source = Source(path=path, format=log_format, split=_ANY_SPLIT, **window_days)
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{log}: {message.replace('`path`', 'it')}") from None
    window = spans.read_window(spans.resolve(source)) if source.has_spans else None
    if window is not None:
        window = _from_first_file(window)
        window_days = {"window_days": len(window.spans), "max_missing_days": len(window.missing)}
    files = spans.files_of(source, window)
    form = guess_csv(files[-1]) if log_format == "csv" else STANDARD_CSV
    source = source.model_copy(update={"csv": form})
    sample = read_columns(files, log_format, form)
    if sample.num_rows == 0 and not sample.rows.unreadable.total:
        raise DataError(f"{log}: its files hold no row; check the name")
    _refuse_mostly_bad(sample.rows.unreadable, sample.rows.seen)
    return source.model_copy(update=window_days), window, sample


def _with_bad_rows(source: Source, checked: CheckedSample) -> Source:
    """Source that leaves out as many rows as ingestion found bad; with a margin, if not in all."""
    _refuse_mostly_bad(checked.bad_rows, checked.num_rows)
    seen = max(checked.num_rows, 1)
    share = max(checked.bad_rows.total / seen, checked.unreadable.total / max(checked.total, 1))
    margin = 1 if checked.is_whole else 2
    return source.model_copy(update={"max_bad_fraction": math.ceil(margin * share * 100) / 100})


def _refuse_mostly_bad(bad: BadRowCounts, num_rows: int) -> None:
    if bad.total > _MOST_BAD * num_rows:
        first = next(iter(bad.first.values()))
        raise DataError(
            f"{first.sentence()}, and so are {bad.total / num_rows:.0%} of the rows; mend the log "
            "first",
            bad.lines(),
        )


def _path_from(folder: Path, path: str) -> str:
    is_absolute = log_files.is_remote(path) or Path(path).is_absolute()
    return path if is_absolute else os.path.relpath(path, folder)


def _from_first_file(window: spans.Window) -> spans.Window:
    """Window without the spans before the log begins."""
    first = next(index for index, files in enumerate(window.files) if files)
    return spans.Window(window.spans[first:], window.files[first:])


def _format(log: str) -> LogFormat:
    suffix = Path(log.removesuffix(".gz")).suffix.lower()
    if suffix not in _FORMATS:
        raise ConfigError(
            f"{log}: its name does not say what it is; it must end in .csv, .jsonl or .parquet, "
            "the first two also with .gz"
        )
    return _FORMATS[suffix]


def _with_split(source: Source, sample: LogSample, guesses: list[Guess]) -> Source:
    time = next((each.column for each in guesses if each.role == "time"), None)
    seconds = sample.columns[time].seconds if time else None
    by_time = seconds is not None and len(set(seconds.tolist())) >= _LEAST_SECONDS
    key = None if by_time else _split_key(sample, guesses)
    split = Split(by="time" if by_time else "hash", key=key, validation=0.1, test=0.1)
    return source.model_copy(update={"split": split, "timestamp": time})


def _split_key(sample: LogSample, guesses: list[Guess]) -> str:
    """The user's column if no row lacks it, else the complete column with the most terms."""
    group = group_column(guesses)
    if group is not None and not sample.columns[group].num_missing:
        return group
    inputs = [sample.columns[each.column] for each in guesses if each.role != "task"]
    whole = [
        column
        for column in inputs
        if useless(column) is None and not column.num_missing and not column.is_list
    ]
    if not whole:
        raise DataError(
            "no column can split the rows: there is no time, and every other column lacks values; "
            "add a timestamp or the user's id"
        )
    return max(whole, key=lambda column: len(column.terms)).name


def _check(text: str, log: str) -> tuple[RecommenderConfig, CheckedSample]:
    """Refuses a config that does not load or does not pass `taskroute check`, but for bad rows."""
    try:
        config = RecommenderConfig.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            f"{log}: no config could be made of it: {first['msg']}; call `taskroute init` without "
            "a log and fill it in"
        ) from None
    source = config.source.model_copy(update={"max_bad_fraction": 1.0})
    config = config.model_copy(update={"source": source})
    return config, check_log(config, Path())


def _write(output: Path, text: str) -> None:
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        _refuse_existing(output)
    except OSError as error:
        raise ConfigError(f"{output}: cannot be written: {error.strerror}") from None


def _refuse_existing(output: Path) -> None:
    raise ConfigError(f"{output}: is there already; give another name with --output")


def _stem(log: str) -> str:
    """Name of a log: `feed` for feed.csv.gz, `logs` for logs/{YYYY}-{MM}-{DD}/*.csv."""
    stems = [part.partition(".")[0] for part in reversed(Path(log).parts)]
    return next((s for s in stems if re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", s)), "taskroute")


def _name(output: Path) -> str:
    """Name of the ranker, from that of the config file."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", output.stem).lstrip("_0123456789")
    return name[:64] or "ranker"


def _print(
    console: Console,
    guesses: list[Guess],
    origin: str,
    output: Path,
    checked: CheckedSample,
    source: Source,
) -> None:
    console.print(f"[bold]{escape(origin)}[/bold]\n")
    table = plain_table("column", "guess", "because it", texts=3)
    order = {"task": 0, "time": 1, "feature": 2, "left out": 3}
    for each in sorted(guesses, key=lambda each: order[each.role]):
        kind = f", {each.kind}" if each.kind else ""
        table.add_row(escape(each.column), each.role + kind, escape(each.why))
    console.print(table)
    form = csv_words(source.csv)
    if form:
        console.print(f"\nthe CSV has {form}: see `source.csv`", markup=False)
    if checked.bad_rows.total:
        console.print(
            f"\n{checked.bad_rows.total:,} of {checked.num_rows:,} rows cannot be used; the config "
            "lets them be left out:"
        )
        for line in checked.bad_rows.lines() or [
            r.sentence() for r in checked.bad_rows.first.values()
        ]:
            console.print(line, markup=False)
    console.print(
        f"\n{output} is written. Take out of `features` what is known only after the outcome; then "
        f"`taskroute check {output}`"
    )
