"""News about runs, delivered by apprise to addresses that stand in environment variables."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from launcher.notify.environment import environment_file
from launcher.notify.messenger import ask_courier

Kind = Literal["done", "held", "failed", "storm"]

NOTIFY: Final = "LAUNCHER_NOTIFY"
"""The variable with the URLs that hear of every run."""

SEND_LIMIT_S: Final = 20.0
"""For all news to all addresses."""

_TYPES: Final[Mapping[Kind, str]] = {
    "failed": "failure",
    "storm": "failure",
    "held": "warning",
    "done": "success",
}
"""Apprise's word for each kind, the worst kind first."""

_SINGLE_MAX: Final = 5
"""More news than these become one message: chats refuse, and people stop reading."""
_LISTED_MAX: Final = 40
_SCHEMA: Final = re.compile(r"([A-Za-z0-9]+)://", re.ASCII)


@dataclass(frozen=True)
class News:
    """Something that people want to know.

    Attributes:
        kind: What it is about: a run or stage that is done, held or failed, or a storm of attempts.
        title: One line.
        body: What happened, and what to do next.
    """

    kind: Kind
    title: str
    body: str


@dataclass(frozen=True)
class _Address:
    """A URL, and the words for it that may be said."""

    url: str
    said: str


def send_news(
    news: Sequence[News],
    names: Sequence[str],
    env: Mapping[str, str],
    *,
    limit_s: float = SEND_LIMIT_S,
) -> list[str]:
    """Delivers news to all addresses; says what could not be delivered, and raises nothing.

    Args:
        news: More than five of them are sent as one message.
        names: Variables with one or more URLs each, separated by spaces; `LAUNCHER_NOTIFY` is
            added. An address that stands in several gets each message once.
        env: The variables, from `load_environment`.
        limit_s: Time for everything; what is not delivered by then is given up.

    Returns:
        Warnings, which name the variable and apprise's schema and nothing else of a URL.
    """
    if not news:
        return []
    addresses, warnings = _addresses(names, env)
    if not addresses:
        return warnings
    messages = _messages(news)
    task = {"urls": [address.url for address in addresses], "news": messages}
    report = ask_courier(task, env, limit_s)
    for number, address in enumerate(addresses):
        faults = [answer["fault"] for answer in report.answers if answer["url"] == number]
        faults += [report.silence] * (len(messages) - len(faults))
        if why := ", ".join(dict.fromkeys(fault for fault in faults if fault)):
            lost = sum(bool(fault) for fault in faults)
            warnings.append(
                f"notify: {address.said}: {lost} of {len(faults)} messages not delivered: {why}"
            )
    return warnings


def _addresses(names: Sequence[str], env: Mapping[str, str]) -> tuple[list[_Address], list[str]]:
    """Each URL once, under the first variable that has it; and which variables are not set."""
    found: dict[str, _Address] = {}
    warnings = []
    for name in dict.fromkeys([*names, NOTIFY]):
        urls = env.get(name, "").split()
        if not urls and name in names:
            place = environment_file(env)
            warnings.append(f"notify: {name} is not set, nobody is told there; set it in {place}")
        for number, url in enumerate(urls, start=1):
            which = f"{name}, URL {number}" if len(urls) > 1 else name
            schema = _SCHEMA.match(url)
            # What is no URL may be a bare password: nothing of it is said.
            said = f"{which} ({schema[1].lower()})" if schema else f"{which} (not a URL)"
            found.setdefault(url, _Address(url, said))
    return list(found.values()), warnings


def _messages(news: Sequence[News]) -> list[dict[str, str]]:
    """The news as apprise takes them, or one message about all of them."""
    if len(news) > _SINGLE_MAX:
        news = [_digest(news)]
    return [
        {"type": _TYPES[item.kind], "title": item.title, "body": item.body or item.title}
        for item in news
    ]


def _digest(news: Sequence[News]) -> News:
    """One message: how many of each kind, the worst first, and their titles."""
    counts = Counter(item.kind for item in news)
    kinds = [kind for kind in _TYPES if counts[kind]]
    ordered = sorted(news, key=lambda item: kinds.index(item.kind))
    lines = [f"{item.kind}: {item.title}" for item in ordered[:_LISTED_MAX]]
    if len(news) > _LISTED_MAX:
        lines.append(f"and {len(news) - _LISTED_MAX} more; see: launcher status")
    told = ", ".join(f"{counts[kind]} {kind}" for kind in kinds)
    return News(kinds[0], f"launcher: {told}", "\n".join(lines))
