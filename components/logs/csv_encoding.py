"""Guess of a text's encoding."""

import codecs
import re

_BYTE_ORDER_MARKS = (  # UTF-32 first: its mark starts with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_KANA = "\u3040-\u30ff"
_HANGUL = "\uac00-\ud7a3"
_IDEOGRAPHS = "\u4e00-\u9fff"
_WIDE_SIGNS = "\u3000-\u303f\uff01-\uff5e"
# Most frequent characters of Chinese text, simplified and traditional.
_COMMON_SIMPLIFIED = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于"
    "着下自之年过发后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还"
    "进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情"
    "明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或"
)
_COMMON_TRADITIONAL = (
    "這個們來為國說時會對過發後裡經麼當沒動還進樣開從實軍無與長機關點業將兩間問應戰頭"
    "體見產話內給門兒東聲員論處義幾認條氣題爾別變總電數報結務場計資許統區隊決馬書則聽"
    "卻達強難權設記類據邊張該規萬覺術領確傳師觀讓識帶導爭運台灣買賣價錢網購學點擊"
)
# Frequent in addresses, dates and shops of Japanese text.
_COMMON_KANJI = (
    "東京都大阪府県北海道市区町村神奈川名古屋福岡日本年月時分円人商品新古書店電話番号"
    "会社品生活家男女子先着送料無料学校英語小中高校用食料理水土地国内外部屋駅車"
)
_MULTI_BYTE = {
    # name: (characters that tell the language, all characters that its text has)
    "cp932": (_KANA + _COMMON_KANJI, _KANA + _IDEOGRAPHS + _WIDE_SIGNS),
    "euc_jp": (_KANA + _COMMON_KANJI, _KANA + _IDEOGRAPHS + _WIDE_SIGNS),
    "gb18030": (_COMMON_SIMPLIFIED, _IDEOGRAPHS + _WIDE_SIGNS),
    "big5": (_COMMON_TRADITIONAL + _COMMON_SIMPLIFIED, _IDEOGRAPHS + _WIDE_SIGNS),
    "euc_kr": (_HANGUL, _HANGUL + _WIDE_SIGNS),
}
_LEAST_SCORE = 0.3
_CYRILLIC = re.compile("[\u0401\u0410-\u044f\u0451]")
_LATIN = re.compile("[À-ÖØ-öø-ÿŠšŽžŒœŸ]")
_LATIN_SIGNS = re.compile("[\u00a0-\u00bf\u20ac\u2013-\u2026\u2122]")


def guess_encoding(head: bytes) -> str:
    """Python's name of the encoding of a text that starts with `head`."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return encoding
    if utf_16 := _utf_16_without_mark(head):
        return utf_16
    if _is_mostly_utf_8(head):
        return "utf-8"
    scores = {encoding: _multi_byte_score(head, encoding) for encoding in _MULTI_BYTE}
    scores["cp1251"] = _letter_score(head, "cp1251", _CYRILLIC, in_runs=True)
    # Windows' own set has letters where latin-1 has control characters.
    western = "cp1252" if _decodes(head, "cp1252") else "latin-1"
    scores[western] = _letter_score(head, western, _LATIN, in_runs=False)
    best = max(scores, key=lambda encoding: scores[encoding])
    return best if scores[best] >= _LEAST_SCORE else western


def _utf_16_without_mark(head: bytes) -> str | None:
    """UTF-16 of mostly ASCII text has a zero in every second byte."""
    size = len(head) // 2
    if size < 2:
        return None
    even, odd = head[0 : 2 * size : 2].count(0), head[1 : 2 * size : 2].count(0)
    if odd > 0.5 * size and even < 0.05 * size:
        return "utf-16-le"
    return "utf-16-be" if even > 0.5 * size and odd < 0.05 * size else None


def _is_mostly_utf_8(head: bytes) -> bool:
    """True for UTF-8, and where single bad bytes stand among its wide characters."""
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(head)
    num_bad = text.count("\ufffd")
    return num_bad == 0 or num_bad * 20 < len(re.findall("[^\x00-\x7f]", text))


def _decodes(head: bytes, encoding: str) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _multi_byte_score(head: bytes, encoding: str) -> float:
    """Share of the wide characters that are likely, 0 to 1 and more with letters that tell."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    text = decoder.decode(head)
    wide = sum(character > "\x7f" for character in text)
    if not wide or text.count("\ufffd") > 0.01 * wide:
        return 0.0
    telling, usual = _MULTI_BYTE[encoding]
    # Wide characters come in runs; a letter of a western word does not.
    likely = len(re.findall(f"[{usual}]", text)) - 1.5 * len(
        re.findall(f"(?<=[A-Za-z])[{usual}]+(?=[A-Za-z])", text)
    )
    return (likely + 0.5 * len(re.findall(f"[{telling}]", text))) / wide


def _letter_score(head: bytes, encoding: str, letters: re.Pattern[str], in_runs: bool) -> float:
    """Share of the characters beyond ASCII that are letters with the usual neighbours."""
    text = head.decode(encoding, "replace")
    beyond = list(re.finditer("[^\x00-\x7f]+", text))
    total = sum(len(match[0]) for match in beyond)
    likely = 0.0
    for match in beyond:
        run = match[0]
        known = sum(bool(letters.match(character)) for character in run)
        if in_runs:
            likely += known if known >= 2 and _is_cased(run) else 0
        elif len(run) <= 2:
            likely += known + sum(bool(_LATIN_SIGNS.match(character)) for character in run)
    return 1.05 * likely / total if total else 0.0


def _is_cased(run: str) -> bool:
    """True if capitals come first, as in words."""
    return run.islower() or run.isupper() or run[1:].islower()
