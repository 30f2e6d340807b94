"""Tells people what happened, and a dead-man service that passes go on.

Addresses of chats and mailboxes hold passwords. They come from environment variables only, whose
names are all that is ever said or written of them.
"""

from launcher.notify.environment import Environment, environment_file, load_environment
from launcher.notify.news import NOTIFY, SEND_LIMIT_S, Kind, News, send_news
from launcher.notify.ping import PING, ping

__all__ = [
    "NOTIFY",
    "PING",
    "SEND_LIMIT_S",
    "Environment",
    "Kind",
    "News",
    "environment_file",
    "load_environment",
    "ping",
    "send_news",
]
