"""Logs as the world writes them: `init`, `check`, `run`, `serve` and a prediction, with no edit."""

import csv
import json
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from taskroute.schemas.features import DenseFeature, ListFeature
from taskroute.schemas.input_names import input_names
from taskroute.schemas.recommender import load_config

pytestmark = pytest.mark.slow

ROWS = 3_000
START = datetime(2024, 3, 1, tzinfo=UTC)


class Rows:
    """Rows in the order of time, in which the item and the age decide the click."""

    def __init__(self):
        random = np.random.default_rng(0)
        self.times = [START + timedelta(minutes=7 * row) for row in range(ROWS)]
        self.users = random.integers(0, 150, ROWS)
        self.items = random.integers(0, 40, ROWS)
        self.ages = random.integers(18, 70, ROWS)
        self.heights = random.normal(1.75, 0.1, ROWS).round(2)
        logits = np.where(self.items % 2 == 0, 1.5, -1.5) + (self.ages - 44) / 30
        self.clicked = (random.random(ROWS) < 1 / (1 + np.exp(-logits))).astype(int)
        self.bought = self.clicked * (random.random(ROWS) < 0.3)


def german(folder, rows):
    """Semicolons, decimal commas, days before months, umlauts in names, Windows' encoding."""
    with (folder / "klicks.csv").open("w", encoding="cp1252", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(
            ["Zeitpunkt", "Nutzer-Nr", "Artikel", "Größe (m)", "Alter", "geklickt", "gekauft"]
        )
        for row, time in enumerate(rows.times):
            writer.writerow(
                [
                    time.strftime("%d.%m.%Y %H:%M:%S"),
                    f"K{rows.users[row]:04d}",
                    f"Möbel {rows.items[row]}",
                    f"{rows.heights[row]:.2f}".replace(".", ","),
                    rows.ages[row],
                    "ja" if rows.clicked[row] else "nein",
                    rows.bought[row],
                ]
            )
    return "klicks.csv", "Artikel", ("Möbel 2", "Möbel 3")


def japanese(folder, rows):
    """Names without a Latin letter, in the encoding of older Japanese software."""
    with (folder / "log.csv").open("w", encoding="shift_jis", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["日時", "ユーザーID", "商品", "年齢", "クリック", "購入"])
        for row, time in enumerate(rows.times):
            writer.writerow(
                [
                    time.strftime("%Y-%m-%d %H:%M:%S"),
                    f"u{rows.users[row]}",
                    f"商品{rows.items[row]}",
                    rows.ages[row],
                    rows.clicked[row],
                    rows.bought[row],
                ]
            )
    return "log.csv", "商品", ("商品2", "商品3")


def spark(folder, rows):
    r"""A folder of parts for each day, with a backslash before quotes within quotes."""
    names = ("event_time", "user_id", "title", "age", "clicked", "purchased")
    for day in sorted({time.date() for time in rows.times}):
        path = folder / "export" / f"date={day}"
        path.mkdir(parents=True)
        lines = [",".join(names)]
        for row, time in enumerate(rows.times):
            if time.date() == day:
                title = f'"The \\"{rows.items[row]}\\", again"'
                values = (rows.ages[row], rows.clicked[row], rows.bought[row])
                start = f"{time.isoformat(timespec='milliseconds')},u{rows.users[row]},{title}"
                lines.append(",".join([start, *map(str, values)]))
        (path / "part-00000.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (path / "_SUCCESS").touch()
    return "export", "title", ('The "2", again', 'The "3", again')


def bigquery(folder, rows):
    """Nested records, times that end in UTC, integers in quotes."""
    with (folder / "export.json").open("w", encoding="utf-8") as file:
        for row, time in enumerate(rows.times):
            record = {
                "event_timestamp": time.strftime("%Y-%m-%d %H:%M:%S UTC"),
                "user": {"id": str(rows.users[row]), "age": str(rows.ages[row])},
                "item": {"id": f"i{rows.items[row]}", "tags": ["a", f"t{rows.items[row] % 5}"]},
                "clicked": bool(rows.clicked[row]),
                "purchased": bool(rows.bought[row]),
            }
            file.write(json.dumps(record) + "\n")
    return "export.json", "item.id", ("i2", "i3")


def nested(folder, rows):
    """Nested JSON Lines, in which a key is missing where there is nothing to say."""
    with (folder / "events.jsonl").open("w", encoding="utf-8") as file:
        for row, time in enumerate(rows.times):
            record = {
                "ts": int(time.timestamp() * 1000),
                "context": {"viewer": {"id": int(rows.users[row])}, "age": int(rows.ages[row])},
                "payload": {"video-id": f"v{rows.items[row]}"},
                "outcome": {"clicked": int(rows.clicked[row])},
            }
            if rows.clicked[row]:
                record["outcome"]["liked"] = int(rows.bought[row])
            file.write(json.dumps(record) + "\n")
    return "events.jsonl", "payload.video-id", ("v2", "v3")


def parquet_by_day(folder, rows):
    """A file a day, with a struct and with dictionary encoded texts."""
    for day in sorted({time.date() for time in rows.times}):
        of_day = [row for row, time in enumerate(rows.times) if time.date() == day]
        items = pa.array([f"i{rows.items[row]}" for row in of_day])
        user = [{"id": int(rows.users[row]), "age": int(rows.ages[row])} for row in of_day]
        columns = {
            "time": pa.array([rows.times[row] for row in of_day], pa.timestamp("us", "UTC")),
            "user": user,
            "item": items.dictionary_encode(),
            "clicked": pa.array([bool(rows.clicked[row]) for row in of_day]),
        }
        (folder / "daily").mkdir(exist_ok=True)
        pa.parquet.write_table(pa.table(columns), folder / "daily" / f"{day:%Y%m%d}.parquet")
    return "daily", "item", ("i2", "i3")


def taskroute(folder, *arguments):
    program = [sys.executable, "-m", "taskroute.pipeline", *map(str, arguments)]
    ended = subprocess.run(program, capture_output=True, text=True, check=False, cwd=folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def predict(folder, model, inputs):
    """Predictions of a server that `taskroute serve` starts."""
    program = [sys.executable, "-m", "taskroute.pipeline", "serve", model]
    process = subprocess.Popen(
        [*program, "--port", "0", "--rest-port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=folder,
    )
    try:
        url = [process.stdout.readline() for _ in range(3)][2].split()[1]
        body = json.dumps({"signature_name": "raw_features", "inputs": inputs}).encode()
        parts = urlsplit(url)
        client = HTTPConnection(parts.hostname, parts.port, timeout=60)
        client.request("POST", parts.path, body, {"Content-Type": "application/json"})
        content = json.load(client.getresponse())
        assert "outputs" in content, content
        return content["outputs"]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)


def request(config, item, terms):
    """Inputs of `raw_features` for two rows that differ in the item alone."""
    names = input_names(feature.column for feature in config.features)
    inputs = {}
    for feature in config.features:
        if feature.column == item:
            values = list(terms)
        elif isinstance(feature, DenseFeature):
            values = [44.0, 44.0]
        elif isinstance(feature, ListFeature):
            values = [["a"], ["a"]]
        else:
            values = ["1", "1"]
        inputs[names[feature.column]] = values
    return inputs


@pytest.mark.parametrize(
    "write", [german, japanese, spark, bigquery, nested, parquet_by_day], ids=lambda w: w.__name__
)
def test_a_log_goes_all_the_way_with_no_edit(tmp_path, write):
    log, item, terms = write(tmp_path, Rows())
    taskroute(tmp_path, "init", log, "-o", "shop.yaml")
    config = load_config(tmp_path / "shop.yaml")
    assert config.source.split.by == "time"
    assert config.source.max_bad_fraction == 0
    assert config.tasks[0].name == "click"
    assert item in [feature.column for feature in config.features]
    taskroute(tmp_path, "check", "shop.yaml")
    taskroute(tmp_path, "run", "shop.yaml", "--root", "root")
    report = json.loads((tmp_path / "root" / "last_run.json").read_text())
    assert sum(report["rows"].values()) == ROWS
    assert report["metrics"]["click"]["values"]["auc"] > 0.7
    outputs = predict(tmp_path, "root/serving/shop", request(config, item, terms))
    # As TensorFlow Serving answers: a single output has no name.
    good, bad = np.ravel(outputs["click"] if isinstance(outputs, dict) else outputs)
    assert good > bad + 0.2
