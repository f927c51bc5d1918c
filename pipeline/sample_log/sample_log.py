"""The sample log of `taskroute demo`: a video feed's click and watch log whose truth is known.

Users, items and tasks meet in one space of latent traits. Every task weighs the traits by a unit
vector of its own; `relatedness` is the cosine between any two of these vectors. The utility of a
row in a task is the weighed sum of the item's traits (its appeal), the user's traits (their
readiness) and the products of both (taste). Traits follow mostly from what the log shows:
category, genres and creator of the item, age and country of the user.

A row is clicked with probability examined(position) * sigmoid(click utility); everything else is
observed only where clicked. Which items a feed shows depends on their popularity alone, not on
the user.

Shape letters: R rows, S sessions, U users, I items, F traits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from taskroute.schemas.errors import ConfigError

LONG_VIEW_SECONDS = 30.0

_START = np.datetime64("2026-01-05T00:00:00", "ms")
_MS_PER_DAY = 86_400_000

_COUNTRIES = ("DE", "FR", "IT", "ES", "PL", "NL", "SE", "AT")
_COUNTRY_SHARES = (0.28, 0.2, 0.15, 0.12, 0.1, 0.07, 0.05, 0.03)
_AGE_BAND_ENDS = (20, 26, 34, 45, 58)
_DEVICES = ("phone", "desktop", "tablet", "tv")
_DEVICE_SHARES = (0.62, 0.2, 0.1, 0.08)
_DEVICE_CLICK = np.array([0.1, 0.0, -0.1, -0.3])
_DEVICE_WATCH = np.array([-0.3, 0.2, 0.2, 1.0])
_CATEGORIES = (
    "beauty", "comedy", "film", "food", "gaming", "music", "news", "science", "sport", "travel",
)  # fmt: skip
_GENRES = (
    "animation", "challenge", "compilation", "cover", "documentary", "highlights", "interview",
    "live", "podcast", "reaction", "review", "short", "trailer", "tutorial", "vlog",
)  # fmt: skip
_ITEMS_PER_CREATOR = 8
_MAX_GENRES = 3

_UTILITIES = ("click", "like", "share", "watch")
_NUM_TRAITS = 1 + len(_UTILITIES)
_APPEAL, _READINESS, _TASTE = 0.9, 0.45, 0.4  # standard deviations in a utility

_POPULARITY_EXPONENT = 0.9
_SHARE_OF_NEW_ITEMS = 0.15
_MEAN_SESSION_ROWS, _MAX_SESSION_ROWS = 12, 40
_EXAMINED_EXPONENT = 0.5  # examined(position) = position ** -0.5

_CLICK_RATE, _LIKE_RATE, _SHARE_RATE, _LONG_VIEW_RATE = 0.10, 0.08, 0.025, 0.43
_MEDIAN_VIDEO_SECONDS = 90.0
_WATCH_SPREAD = 0.5  # log seconds per unit of the watch utility and of its logistic noise


@dataclass(frozen=True)
class SampleLogSpec:
    """Size and properties of a sample log.

    Attributes:
        relatedness: Cosine between the trait weights of any two tasks, in [0, 1]. 1: items that
            draw clicks draw likes too; 0: clicks say nothing about likes.
        missing_fraction: Share of rows without a value, in each of user_age, country and
            video_seconds: look-ups that failed when the row was logged.
        seed: Seed; the same spec gives the same log.

    Raises:
        ConfigError: If a field is outside its range.
    """

    num_rows: int = 200_000
    num_users: int = 2_000
    num_items: int = 1_000
    num_days: int = 10
    relatedness: float = 0.5
    missing_fraction: float = 0.03
    seed: int = 1

    def __post_init__(self) -> None:
        # A session shows no item twice, and not all items are out on the first day.
        least = {
            "num_rows": 1,
            "num_users": 2 * _NUM_TRAITS,
            "num_items": 2 * _MAX_SESSION_ROWS,
            "num_days": 1,
            "seed": 0,
        }
        for name, bound in least.items():
            value = getattr(self, name)
            if value < bound:
                raise ConfigError(
                    f"`{name}` of the sample log must be at least {bound}. Received: {name}={value}"
                )
        if not 0 <= self.relatedness <= 1:
            raise ConfigError(
                "`relatedness` of the sample log must be in [0, 1]. "
                f"Received: relatedness={self.relatedness}"
            )
        if not 0 <= self.missing_fraction < 1:
            raise ConfigError(
                "`missing_fraction` of the sample log must be in [0, 1). "
                f"Received: missing_fraction={self.missing_fraction}"
            )


@dataclass(frozen=True)
class SampleLog:
    """A log and the truth behind it.

    Attributes:
        table: `num_rows` impressions, sorted by event_time.
        true_probabilities: float64 (num_rows,) for each binary task: click; like, share and
            long_view given a click.
    """

    table: pa.Table
    true_probabilities: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class _Users:
    traits: np.ndarray  # (U, F)
    activity: np.ndarray  # (U,) sums to 1
    age: np.ndarray  # (U,) years
    country: np.ndarray  # (U,) index
    device: np.ndarray  # (U,) index of the device that the user uses most


@dataclass(frozen=True)
class _Items:
    traits: np.ndarray  # (I, F)
    popularity: np.ndarray  # (I,)
    published: np.ndarray  # (I,) days since the log's start
    category: np.ndarray  # (I,) index
    genres: list[str]
    creator: np.ndarray  # (I,) index
    video_seconds: np.ndarray  # (I,)


@dataclass(frozen=True)
class _Impressions:
    session: np.ndarray  # (R,) all of these, session by session, in order of position
    user: np.ndarray
    item: np.ndarray
    device: np.ndarray
    position: np.ndarray  # from 1
    started: np.ndarray  # start of the session, days since the log's start


@dataclass(frozen=True)
class _Outcomes:
    clicked: np.ndarray  # (R,) bool
    liked: np.ndarray
    shared: np.ndarray
    watch_seconds: np.ndarray  # (R,) 0 where not clicked
    true_probabilities: dict[str, np.ndarray]


def make_sample_log(spec: SampleLogSpec) -> SampleLog:
    """Draws a log: the same for the same spec."""
    rng = np.random.default_rng(spec.seed)
    weights = _task_weights(spec.relatedness)
    users = _draw_users(rng, spec.num_users)
    items = _draw_items(rng, spec.num_items, spec.num_days, appeal_weights=weights["click"])
    shown = _draw_impressions(rng, spec, users, items)
    outcomes = _draw_outcomes(rng, users, items, shown, weights)
    event_time = _event_times(rng, shown, outcomes.watch_seconds)
    order = np.argsort(event_time, kind="stable")
    table = _make_table(rng, spec, users, items, shown, outcomes, event_time)
    return SampleLog(
        table=table.take(order),
        true_probabilities={
            name: probability[order] for name, probability in outcomes.true_probabilities.items()
        },
    )


def _task_weights(relatedness: float) -> dict[str, np.ndarray]:
    """Unit vectors (F,), one a task, with the cosine `relatedness` between any two.

    The first trait counts in every task, each of the others in one task alone.
    """
    common, *own = np.eye(_NUM_TRAITS)
    return {
        name: np.sqrt(relatedness) * common + np.sqrt(1 - relatedness) * own_trait
        for name, own_trait in zip(_UTILITIES, own, strict=True)
    }


def _draw_users(rng: np.random.Generator, num_users: int) -> _Users:
    age = np.clip(np.round(15 + rng.gamma(3.0, 7.0, num_users)), 16, 85)
    country = rng.choice(len(_COUNTRIES), num_users, p=_COUNTRY_SHARES)
    activity = rng.lognormal(0.0, 1.0, num_users)
    traits = _mix_traits(
        (0.60, _traits_of(rng, np.digitize(age, _AGE_BAND_ENDS), len(_AGE_BAND_ENDS) + 1)),
        (0.30, _traits_of(rng, country, len(_COUNTRIES))),
        (0.10, rng.normal(size=(num_users, _NUM_TRAITS))),
    )
    return _Users(
        traits=traits,
        activity=activity / activity.sum(),
        age=age,
        country=country,
        device=rng.choice(len(_DEVICES), num_users, p=_DEVICE_SHARES),
    )


def _draw_items(
    rng: np.random.Generator, num_items: int, num_days: int, appeal_weights: np.ndarray
) -> _Items:
    num_creators = num_items // _ITEMS_PER_CREATOR
    category = rng.integers(len(_CATEGORIES), size=num_items)
    creator = rng.integers(num_creators, size=num_items)
    num_genres = rng.integers(1, _MAX_GENRES + 1, size=num_items)
    shuffled = np.argsort(rng.random((num_items, len(_GENRES))), axis=1)[:, :_MAX_GENRES]
    has_genre = np.zeros((num_items, len(_GENRES)), bool)
    np.put_along_axis(has_genre, shuffled, np.arange(_MAX_GENRES) < num_genres[:, None], axis=1)
    genre_traits = rng.normal(size=(len(_GENRES), _NUM_TRAITS))
    traits = _mix_traits(
        (0.55, _traits_of(rng, category, len(_CATEGORIES))),
        (0.25, has_genre @ genre_traits / np.sqrt(num_genres)[:, None]),
        (0.10, _traits_of(rng, creator, num_creators)),
        (0.10, rng.normal(size=(num_items, _NUM_TRAITS))),
    )
    # Items that appeal are shown more, but much else makes an item popular.
    rank = np.argsort(np.argsort(rng.normal(size=num_items) - 0.5 * traits @ appeal_weights))
    is_new = rng.random(num_items) < _SHARE_OF_NEW_ITEMS
    when = rng.random(num_items)
    video_seconds = _MEDIAN_VIDEO_SECONDS * rng.lognormal(0.0, 0.8, num_items)
    return _Items(
        traits=traits,
        popularity=(rank + 1.0) ** -_POPULARITY_EXPONENT,
        published=np.where(is_new, when * num_days, -60 * when),
        category=category,
        genres=["|".join(np.compress(has, _GENRES)) for has in has_genre],
        creator=creator,
        video_seconds=np.clip(np.round(video_seconds), 8, 1800),
    )


def _traits_of(rng: np.random.Generator, group: np.ndarray, num_groups: int) -> np.ndarray:
    """Traits that all members of a group share: (members, F)."""
    return rng.normal(size=(num_groups, _NUM_TRAITS))[group]


def _mix_traits(*parts: tuple[float, np.ndarray]) -> np.ndarray:
    """Sums parts by their share of the variance, then makes the traits uncorrelated.

    With mean 0 and covariance 1 over the users, or items, the appeal (or readiness) in two tasks
    correlates by the cosine of their weights, whatever the seed.
    """
    traits = sum(np.sqrt(share) * part for share, part in parts)
    traits = traits - traits.mean(axis=0)
    variances, axes = np.linalg.eigh(np.cov(traits, rowvar=False))
    return traits @ (axes / np.sqrt(variances)) @ axes.T


def _draw_impressions(
    rng: np.random.Generator, spec: SampleLogSpec, users: _Users, items: _Items
) -> _Impressions:
    # One row a session is the least: so many lengths always suffice.
    lengths = np.minimum(rng.geometric(1 / _MEAN_SESSION_ROWS, spec.num_rows), _MAX_SESSION_ROWS)
    ends = np.cumsum(lengths)
    num_sessions = int(np.searchsorted(ends, spec.num_rows)) + 1
    session = np.repeat(np.arange(num_sessions), lengths[:num_sessions])[: spec.num_rows]
    position = np.arange(spec.num_rows) - (ends - lengths)[session] + 1

    session_user = rng.choice(spec.num_users, num_sessions, p=users.activity)
    other_device = rng.choice(len(_DEVICES), num_sessions, p=_DEVICE_SHARES)
    uses_other = rng.random(num_sessions) < 0.2
    session_device = np.where(uses_other, other_device, users.device[session_user])
    # Two humps: noon and evening.
    hour = np.where(
        rng.random(num_sessions) < 0.35,
        rng.normal(12.0, 2.5, num_sessions),
        rng.normal(20.0, 3.0, num_sessions),
    )
    # Sorted, so that sessions are numbered as they begin.
    session_start = np.sort(rng.integers(spec.num_days, size=num_sessions) + (hour % 24) / 24)
    return _Impressions(
        session=session,
        user=session_user[session],
        item=_draw_shown_items(rng, items, session, session_start[session], spec.num_days),
        device=session_device[session],
        position=position,
        started=session_start[session],
    )


def _draw_shown_items(
    rng: np.random.Generator, items: _Items, session: np.ndarray, started: np.ndarray, num_days: int
) -> np.ndarray:
    """Items (R,) by popularity among those published before the day; none twice in a session."""
    num_items = len(items.popularity)
    day = started.astype(np.int64)
    is_out = items.published < np.arange(num_days)[:, None]
    cumulative = np.cumsum(items.popularity * is_out, axis=1)
    cumulative /= cumulative[:, -1:]
    # Rows are days. Day d holds the values from d to d + 1, so that one search serves all days.
    ladder = (cumulative + np.arange(num_days)[:, None]).ravel()

    item = np.empty(len(session), np.int64)
    redraw = np.arange(len(session))
    while len(redraw):
        value = day[redraw] + rng.random(len(redraw))
        place = np.searchsorted(ladder, value, side="right") - day[redraw] * num_items
        item[redraw] = np.minimum(place, num_items - 1)
        is_repeat = np.ones(len(session), bool)
        is_repeat[np.unique(session * num_items + item, return_index=True)[1]] = False
        redraw = np.flatnonzero(is_repeat)
    return item


def _draw_outcomes(
    rng: np.random.Generator,
    users: _Users,
    items: _Items,
    shown: _Impressions,
    weights: dict[str, np.ndarray],
) -> _Outcomes:
    num_rows = len(shown.item)
    user_traits, item_traits = users.traits[shown.user], items.traits[shown.item]
    products = user_traits * item_traits
    utility = {
        name: (_APPEAL * item_traits + _READINESS * user_traits + _TASTE * products) @ weight
        for name, weight in weights.items()
    }
    evening = np.cos((shown.started - 20 / 24) * 2 * np.pi)
    age_days = shown.started - items.published[shown.item]
    click_utility = (
        utility["click"] + _DEVICE_CLICK[shown.device] + 0.2 * evening - 0.15 * np.log1p(age_days)
    )
    examined = shown.position**-_EXAMINED_EXPONENT
    click = examined * _sigmoid(
        click_utility + _intercept(click_utility, _CLICK_RATE / examined.mean(), examined)
    )
    clicked = rng.random(num_rows) < click

    like = _sigmoid(utility["like"] + _intercept(utility["like"], _LIKE_RATE, click))
    share = _sigmoid(utility["share"] + _intercept(utility["share"], _SHARE_RATE, click))

    # Log seconds have logistic noise, so that the chance of a long view is a sigmoid.
    video_seconds = items.video_seconds[shown.item]
    watch_utility = (
        utility["watch"]
        + np.log(video_seconds / _MEDIAN_VIDEO_SECONDS)
        + _DEVICE_WATCH[shown.device]
    )
    watch_utility += _intercept(watch_utility, _LONG_VIEW_RATE, click)
    long_view = _sigmoid(watch_utility)
    long_view[video_seconds < LONG_VIEW_SECONDS] = 0.0
    seconds = LONG_VIEW_SECONDS * np.exp(
        _WATCH_SPREAD * (watch_utility + rng.logistic(size=num_rows))
    )
    # Rounding down never moves a row across a whole number of seconds.
    seconds = np.floor(10 * np.minimum(seconds, video_seconds)) / 10
    return _Outcomes(
        clicked=clicked,
        liked=clicked & (rng.random(num_rows) < like),
        shared=clicked & (rng.random(num_rows) < share),
        watch_seconds=np.where(clicked, seconds, 0.0),
        true_probabilities={"click": click, "like": like, "share": share, "long_view": long_view},
    )


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _intercept(utility: np.ndarray, rate: float, weights: np.ndarray) -> float:
    """Number to add to `utility` so that the weighted mean of its sigmoid is `rate`."""
    low, high = -30.0, 30.0
    for _ in range(40):
        middle = (low + high) / 2
        if np.average(_sigmoid(utility + middle), weights=weights) < rate:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _event_times(
    rng: np.random.Generator, shown: _Impressions, watch_seconds: np.ndarray
) -> np.ndarray:
    """Time of each impression (R,) in milliseconds; the next waits until the watch has ended."""
    pause = 1.0 + rng.exponential(3.0, len(watch_seconds)) + watch_seconds
    elapsed = np.cumsum(pause) - pause
    first_of_session = np.arange(len(pause)) - (shown.position - 1)
    elapsed -= elapsed[first_of_session]
    return (shown.started * _MS_PER_DAY + elapsed * 1000).astype(np.int64)


def _make_table(
    rng: np.random.Generator,
    spec: SampleLogSpec,
    users: _Users,
    items: _Items,
    shown: _Impressions,
    outcomes: _Outcomes,
    event_time: np.ndarray,
) -> pa.Table:
    def is_missing() -> np.ndarray:
        return rng.random(spec.num_rows) < spec.missing_fraction

    user, item = shown.user, shown.item
    age_days = (event_time / _MS_PER_DAY) - items.published[item]
    return pa.table(
        {
            "event_time": pa.array(_START + event_time, pa.timestamp("ms")),
            "session_id": _names("s", shown.session),
            "user_id": _names("u", user),
            "item_id": _names("i", item),
            "category": _pick(_CATEGORIES, items.category[item]),
            "genres": _pick(items.genres, item),
            "creator": _names("c", items.creator[item]),
            "device": _pick(_DEVICES, shown.device),
            "country": _pick(_COUNTRIES, users.country[user], is_missing()),
            "position": shown.position,
            "hour": event_time // (_MS_PER_DAY // 24) % 24,
            "user_age": pa.array(users.age[user], mask=is_missing()),
            "video_seconds": pa.array(items.video_seconds[item], mask=is_missing()),
            "item_age_days": np.round(age_days, 3),
            "clicked": outcomes.clicked.astype(np.int64),
            "liked": outcomes.liked.astype(np.int64),
            "shared": outcomes.shared.astype(np.int64),
            "watch_seconds": outcomes.watch_seconds,
        }
    )


def _names(prefix: str, numbers: np.ndarray) -> pa.Array:
    return _pick([f"{prefix}{number}" for number in range(int(numbers.max()) + 1)], numbers)


def _pick(
    texts: Sequence[str], index: np.ndarray, is_missing: np.ndarray | None = None
) -> pa.Array:
    return pa.array(texts, pa.string()).take(pa.array(index, mask=is_missing))
