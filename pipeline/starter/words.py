"""Words in the names of columns, in English whatever the language of the log.

Only words that say what a column is for: outcomes, times, users, items, ids.
"""

import re
import unicodedata
from collections.abc import Iterable

from taskroute.schemas.input_names import LONGEST_NAME, safe_name

# English words, each with its like in other languages: German, French, Spanish, Portuguese,
# Italian, Dutch and Russian as whole words, without accents; Japanese, Chinese and Korean anywhere
# in a name, for they write none between words.
_TRANSLATIONS = {
    "clicked": "geklickt angeklickt klick klicks clic clics clique cliquee clico clicado "
    "clicou clicada hizoclic pulsado cliccato cliccata geklikt клик кликнул клики "
    "クリック 点击 點擊 클릭",
    "purchased": "gekauft kauf kaeufe verkauft achat achete achetee compra comprado comprada "
    "compro comprou acquisto acquistato acquistata gekocht aankoop покупка "
    "куплено купил 購入 购买 購買 付款 支付 구매",
    "ordered": "bestellt bestellung commande commandee pedido ordinato besteld заказ 注文 "
    "下单 주문",
    "liked": "gefaellt gefallen gemocht aime aimee jaime gusta gusto megusta curtido "
    "curtiu curtida gostou piaciuto piace leuk лайк нравится いいね 高評価 点赞 "
    "點讚 喜欢 喜歡 좋아요",
    "viewed": "angesehen gesehen angezeigt vu vue vus visto vista visualizado visualizou "
    "visualizzato bekeken просмотр просмотрено 閲覧 浏览 瀏覽 조회",
    "watched": "angeschaut geschaut regarde regardee mirado assistido assistiu guardato "
    "visionnage visionne 視聴 观看 觀看 시청",
    "played": "abgespielt wiedergabe gespielt joue reproducido reproduzido riprodotto "
    "afgespeeld 再生 播放 재생",
    "read": "gelesen lecture lu leido lido letto gelezen прочитано 既読 読了 阅读 閱讀 읽음",
    "saved": "gespeichert gemerkt merkliste enregistre guardado salvo salvato opgeslagen 保存 저장",
    "favorite": "favorit favoriten favori favoris favorito favorita preferito favoriet "
    "избранное お気に入り 收藏 즐겨찾기",
    "shared": "geteilt partage partagee compartido compartilhado condiviso gedeeld "
    "поделился 共有 シェア 分享 转发 轉發 공유",
    "commented": "kommentiert kommentar commente comentado comentario commentato комментарий "
    "コメント 评论 評論 댓글",
    "followed": "gefolgt suivi seguido seguiu seguito gevolgd подписка フォロー 关注 關注 팔로우",
    "subscribed": "abonniert abo abonne abonnee suscrito inscrito iscritto geabonneerd 登録 "
    "订阅 訂閱 구독",
    "cart": "warenkorb panier carrito carrinho carrello winkelwagen корзина カート 加购 "
    "购物车 장바구니",
    "downloaded": "heruntergeladen telecharge descargado baixado scaricato ダウンロード 下载 "
    "下載 다운로드",
    "installed": "installiert installe instalado installato インストール 安装 安裝 설치",
    "converted": "konversion konvertiert converti conversion convertido コンバージョン 转化 "
    "轉化 전환",
    "completed": "abgeschlossen termine completado completo completato voltooid 完了 完成 完播 "
    "완료",
    "rating": "bewertung bewertungen valoracion calificacion puntuacion avaliacao nota "
    "valutazione beoordeling evaluation оценка рейтинг 評価 評点 评分 評分 打分 "
    "평점 별점",
    "stars": "sterne etoiles estrellas estrelas stelle sterren звезды 星数 星级 星級",
    "time": "zeit zeitpunkt uhrzeit heure hora fecha_hora ora tijd время 時刻 時間 时间 시간",
    "timestamp": "zeitstempel horodatage marcadetiempo 日時 タイムスタンプ 时间戳 時間戳",
    "date": "datum fecha jour tag dia giorno dag дата 日付 日期 날짜",
    "duration": "dauer duree duracion duracao durata duur длительность 长さ 时长 時長 기간",
    "seconds": "sekunden sek secondes segundos secondi seconden секунды 秒 초",
    "user": "nutzer benutzer utilisateur usuario utente gebruiker kunde kunden "
    "пользователь cliente klant ユーザー ユーザ 会員 顧客 用户 用戶 会员 會員 "
    "사용자 회원",
    "item": "artikel produkt produit producto produto articulo prodotto товар アイテム "
    "商品 物品 상품 아이템",
    "video": "ビデオ 動画 视频 視頻 동영상 영상",
    "article": "記事 文章 新闻 기사",
    "id": "kennung nummer kennzahl identifiant numero номер 番号 识别码 編號 编号 번호",
    "history": "verlauf bisherige historique historial historico cronologia история 履歴 "
    "历史 歷史 기록",
    "session": "sitzung seance sesion sessao sessione sessie сессия セッション 会话 會話 세션",
    "age": "alter edad idade eta leeftijd возраст 年齢 年龄 年齡 나이",
    "gender": "geschlecht sexe genero geslacht пол 性別 性别 성별",
    "price": "preis prix precio preco prezzo prijs цена 価格 价格 價格 가격",
    "device": "geraet appareil dispositivo apparaat устройство デバイス 端末 设备 設備 기기",
    "category": "kategorie categorie categoria категория カテゴリー カテゴリ 类别 分类 類別 "
    "카테고리",
    "genre": "genres ジャンル 장르",
    "title": "titel titre titulo titolo название タイトル 标题 標題 제목",
    "weekday": "wochentag 曜日 星期 요일",
    "count": "anzahl nombre cantidad quantidade aantal 回数 次数 횟수",
    "is": "ist est es 是否 フラグ 여부",
}
_BY_WORD = {word: english for english, line in _TRANSLATIONS.items() for word in line.split()}
_WITHOUT_SPACES = sorted((w for w in _BY_WORD if ord(w[0]) > 0x2E7F), key=len, reverse=True)
_ANYWHERE = re.compile("|".join(map(re.escape, _WITHOUT_SPACES)))

# Nouns before which `id`, `time`, `date` or `seconds` may stand without a space, as in `userid`.
_JOINED = re.compile(
    r"(user|item|movie|video|product|article|session|visitor|customer|member|photo|song|track|"
    r"artist|book|news|ad|campaign|category|brand|device|city|event|post|author|creator|seller|"
    r"shop|store|query|nutzer|kunden|artikel|produkt|watch|play|dwell|click|date|time|"
    r"impression|request|page)(id|ids|nr|nummer|kennung|time|date|stamp|seconds|count)"
)


def words(name: str) -> set[str]:
    """Words of a name, in lower case and in English as far as they are known."""
    return set(parts(name))


def parts(name: str) -> list[str]:
    """Words of a name in their order."""
    return [word for word, _ in _parts(name)]


def english_name(name: str, position: int) -> str:
    """Name for a feature: near the column's own; of words that are known, or its place.

    Args:
        name: Name of the column.
        position: Place of the column in the log, from 1.
    """
    if _is_latin(name):
        return safe_name(name)
    pieces = _parts(name)
    if not pieces or not all(is_known for _, is_known in pieces):
        return f"column_{position}"
    return safe_name("_".join(word for word, _ in pieces)[:LONGEST_NAME])


def _is_latin(name: str) -> bool:
    letters = [character for character in name if character.isalpha()]
    return bool(letters) and all("LATIN" in unicodedata.name(each, "") for each in letters)


def _parts(name: str) -> list[tuple[str, bool]]:
    """Words in their order, and whether each is of Latin letters or could be translated."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", unicodedata.normalize("NFKC", name))
    found: list[tuple[str, bool]] = []
    # Letters of one script, without digits and signs.
    for token in re.findall(r"[a-zA-Z\u00c0-\u024f]+|[^\W\d_a-zA-Z\u00c0-\u024f]+", spaced):
        if _is_latin(token):
            plain = safe_name(token).lower().rstrip("_")
            found += [(_BY_WORD.get(word, word), True) for word in _split_joined(plain)]
        else:
            found += _translated(token.lower())
    return found


def _split_joined(word: str) -> Iterable[str]:
    joined = _JOINED.fullmatch(word)
    return joined.groups() if joined else (word,)


def _translated(token: str) -> Iterable[tuple[str, bool]]:
    if token in _BY_WORD:
        yield _BY_WORD[token], True
        return
    at = 0
    for match in _ANYWHERE.finditer(token):
        if match.start() > at:
            yield token[at : match.start()], False
        yield _BY_WORD[match[0]], True
        at = match.end()
    if at < len(token):
        yield token[at:], False
