"""Guess of a CSV file's form."""

import gzip

import pytest

from taskroute.components.logs.csv_dialect import guess_csv
from taskroute.schemas.source import Csv

GERMAN = ("Müller", "Straße", "Jäger", "Köln", "groß", "Äpfel", "über 5 Tage", "Maß")
JAPANESE = ("東京都", "カメラ", "おもちゃ", "ゲーム機", "日本語", "新品の靴", "ノートパソコン")
KANJI = ("東京都", "大阪府", "北海道", "京都府", "神奈川県")
CHINESE = ("手机", "电脑", "的衣服", "北京", "上海", "图书", "新品")
TAIWANESE = ("手機", "電腦", "的衣服", "台北", "圖書", "小說")
KOREAN = ("휴대폰", "컴퓨터", "서울")
# Three words of Cyrillic letters, which look like Latin ones.
RUSSIAN = ("\u0442\u0435\u043b\u0435\u0444\u043e\u043d", "\u041c\u043e\u0441\u043a\u0432\u0430")


def _log(words, delimiter=",", header=("time", "user", "title", "price", "click"), decimal="."):
    rows = [
        (
            f"25.04.2000 23:10:{row % 60:02d}",
            f"u{row % 9}",
            words[row % len(words)],
            f"{row / 7:.2f}".replace(".", decimal),
            str(row % 2),
        )
        for row in range(200)
    ]
    return "\n".join(delimiter.join(row) for row in ([header] if header else []) + rows) + "\n"


FORMS = {
    "plain": (_log(["a", "b"]).encode(), Csv()),
    "German": (
        _log(GERMAN, ";", decimal=",").encode("latin-1"),
        Csv(delimiter=";", encoding="cp1252", decimal=","),
    ),
    "German, UTF-8 with byte order mark": (
        _log(GERMAN, ";", decimal=",").replace("\n", "\r\n").encode("utf-8-sig"),
        Csv(delimiter=";", decimal=","),
    ),
    "Shift JIS": (_log(JAPANESE).encode("shift_jis"), Csv(encoding="cp932")),
    "EUC-JP": (_log(JAPANESE).encode("euc_jp"), Csv(encoding="euc_jp")),
    "Shift JIS, kanji only": (_log(KANJI).encode("shift_jis"), Csv(encoding="cp932")),
    "EUC-JP, kanji only": (_log(KANJI).encode("euc_jp"), Csv(encoding="euc_jp")),
    "UTF-16": (_log(JAPANESE).encode("utf-16"), Csv(encoding="utf-16")),
    "UTF-16 without mark": (_log(GERMAN).encode("utf-16-le"), Csv(encoding="utf-16-le")),
    "GB 18030": (_log(CHINESE).encode("gb18030"), Csv(encoding="gb18030")),
    "Big5": (_log(TAIWANESE).encode("big5"), Csv(encoding="big5")),
    "EUC-KR": (_log(KOREAN).encode("euc_kr"), Csv(encoding="euc_kr")),
    "Windows Cyrillic": (_log(RUSSIAN).encode("cp1251"), Csv(encoding="cp1251")),
    "one bad byte in UTF-8": (_log(GERMAN).encode().replace(b"u8", b"\xe9", 1), Csv()),
    "Spark": (_log([r'"say \"hi\", ok"', r'"a \"b\" c"', "plain"]).encode(), Csv(escape="\\")),
    "Spark, quotes at the ends": (_log([r'"a \""', r'"\"b"', "c"]).encode(), Csv(escape="\\")),
    "Windows paths": (_log([r'"C:\"', r"C:\new"]).encode(), Csv()),
    "tabs": (_log(["a, b", "c"], "\t").encode(), Csv(delimiter="\t")),
    "bars": (_log(["a, b", "c"], "|").encode(), Csv(delimiter="|")),
    "terms with bars": (_log(["a|b", "a|b|c"]).encode(), Csv()),
    "Hive": (_log(["a"], "\x01", header=()).encode(), Csv(delimiter="\x01", header=False)),
    "two colons": (_log(["a"], "::", header=()).encode(), Csv(delimiter="::", header=False)),
    "no quotes": (
        _log(['"17 inch', "tv", "hi-fi"], "\t").encode(),
        Csv(delimiter="\t", quote=None),
    ),
    "single quotes": (_log(["'a, b'", "c"]).encode(), Csv(quote="'")),
    "quoted decimal commas": (_log(['"1,76"', '"2,5"']).encode().replace(b".", b":"), None),
    "thousands": (_log(['"1,234"', '"2,500"']).encode(), Csv()),
    "no header": (_log(["a", "b"], header=()).encode(), Csv(header=False)),
    "one column": (b"user\na\nb\n", Csv()),
    "header only": (b"a;b;c\n", Csv(delimiter=";")),
    "empty": (b"", Csv()),
}
FORMS["quoted decimal commas"] = (FORMS["quoted decimal commas"][0], Csv(decimal=","))


@pytest.mark.parametrize("name", FORMS)
def test_the_form_is_guessed(tmp_path, name):
    content, form = FORMS[name]
    (tmp_path / "log.csv").write_bytes(content)
    assert guess_csv(str(tmp_path / "log.csv")) == form


def test_a_packed_file_is_unpacked_first(tmp_path):
    content, form = FORMS["German"]
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress(content))
    assert guess_csv(str(tmp_path / "log.csv.gz")) == form


def test_the_first_megabyte_decides(tmp_path):
    content, form = FORMS["Shift JIS"]
    header, _, rows = content.partition(b"\n")
    (tmp_path / "log.csv").write_bytes(header + b"\n" + rows * 200)
    assert guess_csv(str(tmp_path / "log.csv")) == form
