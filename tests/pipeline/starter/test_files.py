"""`taskroute init`: files of a log, their form, and rows from all over them."""

import gzip

import numpy as np
import pytest

ROWS = 600


def times(day, rows=ROWS):
    return [f"2026-01-{day:02d} 00:{row // 60:02d}:{row % 60:02d}" for row in range(rows)]


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("2026-01-{:02d}.csv", "{YYYY}-{MM}-{DD}.csv"),
        ("clicks_202601{:02d}.csv", "clicks_{YYYY}{MM}{DD}.csv"),
        ("2026-01-{:02d}/log.csv", "{YYYY}-{MM}-{DD}/log.csv"),
        ("date=2026-01-{:02d}/part-0.parquet", "date={YYYY}-{MM}-{DD}/part-0.parquet"),
        (
            "year=2026/month=01/day={:02d}/log.jsonl",
            "year={YYYY}/month={MM}/day={DD}/log.jsonl",
        ),
        ("2026/01/{:02d}/log.csv", "{YYYY}/{MM}/{DD}/log.csv"),
    ],
)
def test_a_folder_of_days_becomes_a_window_of_all_of_them(
    tmp_path, init_file, write, log, name, pattern
):
    for day in (3, 4, 6):
        write(tmp_path / "logs", name.format(day), log(time=times(day)))
    (tmp_path / "logs" / "_SUCCESS").touch()
    source = init_file(tmp_path / "logs").source
    assert source.path == f"{tmp_path}/logs/{pattern}"
    assert (source.window_days, source.max_missing_days) == (4, 1)


def test_parts_of_a_day_may_have_names_of_their_own(tmp_path, init_file, write, log):
    for day in (3, 4):
        for part in ("a", "b"):
            write(
                tmp_path, f"logs/date=2026-01-{day:02d}/part-{day}{part}.csv", log(time=times(day))
            )
    source = init_file(tmp_path / "logs").source
    assert source.path == f"{tmp_path}/logs/date={{YYYY}}-{{MM}}-{{DD}}/*.csv"


def test_a_pattern_of_days_becomes_a_window(tmp_path, init_file, write, log):
    for day in (3, 4):
        write(tmp_path, f"logs/2026-01-{day:02d}.csv", log(time=times(day)))
    source = init_file(tmp_path / "logs" / "2026-01-*.csv").source
    assert source.path == f"{tmp_path}/logs/{{YYYY}}-{{MM}}-{{DD}}.csv"


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (("a.csv", "b.csv"), "*.csv"),
        (("part-0.parquet", "part-1.parquet"), "*.parquet"),
        (("x/a.csv", "y/b.csv"), "**/*.csv"),
        (("2026-01-03.csv",), "*.csv"),
    ],
)
def test_a_folder_of_parts_becomes_a_pattern(tmp_path, init_file, write, log, names, pattern):
    for name in names:
        write(tmp_path / "logs", name, log())
    assert init_file(tmp_path / "logs").source.path == f"{tmp_path}/logs/{pattern}"


def test_a_folder_without_a_log_is_refused(tmp_path, call, refused):
    (tmp_path / "logs").mkdir()
    refused(call("init", tmp_path / "logs"), 3, "logs: holds no file that ends in .csv")


def test_packed_files_of_a_folder_are_read(tmp_path, init_file, write, log):
    (tmp_path / "logs").mkdir()
    for number in range(2):
        content = write(tmp_path, "plain.csv", log()).read_bytes()
        (tmp_path / "logs" / f"{number}.csv.gz").write_bytes(gzip.compress(content))
    assert init_file(tmp_path / "logs").source.path == f"{tmp_path}/logs/*.csv.gz"


def test_the_form_of_a_csv_is_guessed_written_and_said(tmp_path, call, init_file):
    random = np.random.default_rng(0)
    lines = ["Zeit;Nutzer;Größe;geklickt"]
    for row, time in enumerate(times(3)):
        height = f"{random.normal(1.7, 0.1):.2f}".replace(".", ",")
        lines.append(f"{time};u{row % 90};{height};{random.integers(0, 2)}")
    (tmp_path / "feed.csv").write_bytes("\n".join(lines).encode("cp1252"))
    config = init_file(tmp_path / "feed.csv")
    form = config.source.csv
    assert (form.delimiter, form.encoding, form.decimal) == (";", "cp1252", ",")
    assert {each.column: each.kind for each in config.features}["Größe"] == "dense"
    text = (tmp_path / "shop.yaml").read_text()
    said = "semicolons between columns, the encoding cp1252, decimal commas"
    assert f"# {said}\n" in text
    result = call("init", tmp_path / "feed.csv", "-o", tmp_path / "other.yaml")
    assert said in result.stdout


def test_what_comes_late_in_a_sorted_log_is_seen(tmp_path, init_file):
    """A label without a 1, and a column without a value, in the first nine tenths."""
    random = np.random.default_rng(0)
    path = tmp_path / "feed.csv"
    with path.open("w") as file:
        file.write("time,user_id,age,clicked,purchased,channel\n")
        for row in range(120_000):
            is_late = row > 108_000
            clicked = random.random() < 0.3
            bought = int(is_late and clicked and random.random() < 0.5)
            channel = f"c{row % 5}" if is_late else ""
            user = random.integers(0, 5_000)
            file.write(
                f"{1_767_225_600 + row},u{user},{row % 61 + 18},{int(clicked)},{bought},{channel}\n"
            )
    config = init_file(path)
    assert [task.name for task in config.tasks] == ["click", "purchase"]
    assert "channel" in [each.column for each in config.features]
    first = (tmp_path / "shop.yaml").read_text().splitlines()[0]
    assert "60,000 of 120,000 rows" in first
    assert first.endswith("from all over.")


def test_a_column_of_the_newest_days_only_is_seen(tmp_path, init_file, write, log):
    for day in (3, 4, 5):
        columns = {"channel": [f"c{row % 5}" for row in range(ROWS)]} if day == 5 else {}
        write(tmp_path, f"logs/2026-01-{day:02d}.csv", log(time=times(day), **columns))
    assert "channel" in [each.column for each in init_file(tmp_path / "logs").features]


def test_fields_of_objects_are_columns(tmp_path, init_file, write, log):
    users = [{"id": f"u{row % 90}", "age": 20 + row % 47} for row in range(ROWS)]
    path = write(tmp_path, "feed.jsonl", log(user_id=None, age=None, user=users))
    kinds = {each.column: each.kind for each in init_file(path).features}
    assert (kinds["user.id"], kinds["user.age"]) == ("categorical", "dense")
