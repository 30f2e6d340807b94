"""Delivers messages, as a program of its own: a task on stdin, answers on stdout, JSON both.

    {"limit_s": 20, "urls": ["json://..."], "news": [{"type": ..., "title": ..., "body": ...}]}
        answers {"url": 0, "news": 0, "fault": null} for each message to each address
    {"limit_s": 5, "ping": "https://..."}
        answers {"fault": null}

A fault is a phrase in which no address stands. Being a process, it can be ended by a clock
wherever it hangs: in the name service, in a server that sends a byte a minute, in a library.
Imports nothing of ours.
"""

import json
import logging
import os
import re
import signal
import sys
import threading
from typing import Any, Final

_PARENT: Final = 9
"""The file descriptor that leads to the parent."""
_STATUS: Final = re.compile(r"error=(\d{3})\b")


def main() -> None:
    """Reads the task and does it, until its time is over."""
    task = json.load(sys.stdin)
    os.dup2(1, _PARENT)
    os.dup2(2, 1)  # what a library prints is no answer
    signal.setitimer(signal.ITIMER_REAL, task["limit_s"])  # SIGALRM ends the process
    if "ping" in task:
        _answer(fault=_ping(task["ping"], task["limit_s"]))
    else:
        _send_all(task["urls"], task["news"])


def _answer(**fields: object) -> None:
    """One line to the parent, in one piece: threads answer too."""
    os.write(_PARENT, json.dumps(fields).encode() + b"\n")


def _ping(url: str, limit_s: float) -> str | None:
    """Gets a URL; why that failed, or None."""
    import http.client  # noqa: PLC0415 - not for messages
    import urllib.error  # noqa: PLC0415
    import urllib.request  # noqa: PLC0415

    if not url.startswith(("http://", "https://")):
        return "not a URL that starts with http:// or https://"
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "launcher"})  # noqa: S310 - checked above
        with urllib.request.urlopen(request, timeout=limit_s):  # noqa: S310
            return None
    except urllib.error.HTTPError as error:
        error.close()
        return f"HTTP {error.code}"
    except TimeoutError:
        return f"no answer within {limit_s:g} s"
    except urllib.error.URLError as error:
        # The words of an error may hold the address; its class does not.
        return f"cannot be reached ({type(error.reason).__name__})"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return f"the connection broke ({type(error).__name__})"


class _Statuses(logging.Handler):
    """Keeps the HTTP status that apprise logs last, by thread; of its words nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.last: dict[int, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Looks for a status in what is logged."""
        if found := _STATUS.search(record.getMessage()):
            self.last[threading.get_ident()] = found[1]


def _send_all(urls: list[str], news: list[dict[str, str]]) -> None:
    """Every message to every address; the addresses at once, so that a slow one delays none."""
    try:
        import apprise  # noqa: PLC0415 - only needed here, and may be missing
    except ImportError:
        for number in range(len(urls)):
            _tell_all(number, news, "apprise is not installed (pip install apprise)")
        return
    statuses = _Statuses()
    logging.getLogger("apprise").addHandler(statuses)
    asset = apprise.AppriseAsset(app_id="launcher", async_mode=False)
    threads = []
    for number, url in enumerate(urls):
        service = apprise.Apprise.instantiate(url, asset=asset)
        if service is None:
            _tell_all(number, news, "apprise does not know such a URL")
            continue
        known = (number, service, news, statuses)
        threads.append(threading.Thread(target=_send, args=known))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _tell_all(number: int, news: list[dict[str, str]], fault: str) -> None:
    for position in range(len(news)):
        _answer(url=number, news=position, fault=fault)


def _send(number: int, service: Any, news: list[dict[str, str]], statuses: _Statuses) -> None:  # noqa: ANN401 - apprise's, one class a service
    """The messages to one address, in order."""
    for position, message in enumerate(news):
        statuses.last.pop(threading.get_ident(), None)
        try:
            is_sent = service.notify(
                title=message["title"],
                body=message["body"],
                notify_type=message["type"],
                body_format="text",
            )
            status = statuses.last.get(threading.get_ident())
            fault = f"HTTP {status}" if status else "the service refused it or cannot be reached"
        except Exception as error:  # noqa: BLE001 - a hundred services, each with faults of its own
            is_sent, fault = False, type(error).__name__
        _answer(url=number, news=position, fault=None if is_sent else fault)


if __name__ == "__main__":
    main()
