"""News and pings over real connections to a real server on this machine."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.notify import News, ping, send_news
from tests.launcher.listening import Listener, dead_port, listening

ROOT = Path(__file__).parents[2]
SECRET = "s3cr3t-t0ken"
FAILED = News("failed", "stage3 failed", "CUDA out of memory\nlook: launcher status")
DONE = News("done", "run demo is done", "4 stages, 2 interruptions")


@pytest.fixture
def server() -> Iterator[Listener]:
    with listening() as listener:
        yield listener


def test_news_reach_the_address_that_the_pipeline_names(server):
    warnings = send_news([FAILED], ["TEAM_CHAT"], {"TEAM_CHAT": server.url()})

    assert warnings == []
    (post,) = server.posts
    assert (post["title"], post["message"], post["type"]) == (
        "stage3 failed",
        "CUDA out of memory\nlook: launcher status",
        "failure",
    )


@pytest.mark.parametrize(
    ("kind", "type_"),
    [("done", "success"), ("held", "warning"), ("failed", "failure"), ("storm", "failure")],
)
def test_kind_of_news_is_shown_as_the_service_shows_it(server, kind, type_):
    send_news([News(kind, "title", "")], [], {"LAUNCHER_NOTIFY": server.url()})

    assert [(post["type"], post["message"]) for post in server.posts] == [(type_, "title")]


def test_several_news_come_one_by_one_and_in_order(server):
    send_news([FAILED, DONE], [], {"LAUNCHER_NOTIFY": server.url()})

    assert server.titles() == ["stage3 failed", "run demo is done"]


def test_more_than_five_news_are_one_message_with_the_worst_first(server):
    news = [News("done", f"run {number} is done", "") for number in range(5)] + [FAILED]

    send_news(news, [], {"LAUNCHER_NOTIFY": server.url()})

    (post,) = server.posts
    assert (post["title"], post["type"]) == ("launcher: 1 failed, 5 done", "failure")
    assert post["message"].splitlines()[:2] == ["failed: stage3 failed", "done: run 0 is done"]


def test_every_address_of_every_variable_is_told_once(server):
    env = {
        "TEAM_CHAT": f"{server.url('/team')} {server.url('/both')}",
        "LAUNCHER_NOTIFY": f"{server.url('/both')} {server.url('/all')}",
    }

    warnings = send_news([DONE], ["TEAM_CHAT"], env)

    assert warnings == []
    assert sorted(server.paths) == ["/all", "/both", "/team"]


def test_no_news_are_no_message_and_no_warning(server):
    assert send_news([], ["UNSET"], {"LAUNCHER_NOTIFY": server.url()}) == []
    assert server.posts == []


def test_variable_that_is_not_set_is_a_warning_with_its_place_and_the_others_are_told(server):
    env = {"HOME": "/home/me", "LAUNCHER_NOTIFY": server.url()}

    warnings = send_news([DONE], ["TEAM_CHAT"], env)

    assert warnings == [
        "notify: TEAM_CHAT is not set, nobody is told there; "
        "set it in /home/me/.config/launcher/env"
    ]
    assert server.titles() == ["run demo is done"]


def test_nobody_is_told_and_nothing_is_said_where_no_address_is_wanted():
    assert send_news([DONE], [], {}) == []


@pytest.mark.parametrize(
    ("url", "warning"),
    [
        ("json://127.0.0.1:{port}/500/{secret}", "(json): 1 of 1 messages not delivered: HTTP 500"),
        (
            "json://user:{secret}@127.0.0.1:{dead}/{secret}",
            "(json): 1 of 1 messages not delivered: the service refused it or cannot be reached",
        ),
        (
            "nowhere://{secret}",
            "(nowhere): 1 of 1 messages not delivered: apprise does not know such a URL",
        ),
        (
            "{secret}",
            "(not a URL): 1 of 1 messages not delivered: apprise does not know such a URL",
        ),
        (
            "slack://{secret}",
            "(slack): 1 of 1 messages not delivered: apprise does not know such a URL",
        ),
    ],
)
def test_what_cannot_be_delivered_is_a_warning_without_the_address(server, url, warning):
    url = url.format(port=server.port, dead=dead_port(), secret=SECRET)

    warnings = send_news([DONE], ["TEAM_CHAT"], {"TEAM_CHAT": url})

    assert warnings == [f"notify: TEAM_CHAT {warning}"]


def test_address_among_several_is_named_by_its_position(server):
    env = {"TEAM_CHAT": f"{server.url('/')} {server.url('/403')}"}

    warnings = send_news([FAILED, DONE], ["TEAM_CHAT"], env)

    assert warnings == ["notify: TEAM_CHAT, URL 2 (json): 2 of 2 messages not delivered: HTTP 403"]


@pytest.mark.alone  # measures time
def test_server_that_never_finishes_is_given_up_in_time_and_delays_no_other(server):
    env = {"LAUNCHER_NOTIFY": f"{server.url('/slow')} {server.url('/')}"}
    start = time.monotonic()

    warnings = send_news([DONE], [], env, limit_s=3)

    assert warnings == [
        "notify: LAUNCHER_NOTIFY, URL 1 (json): 1 of 1 messages not delivered: no answer within 3 s"
    ]
    assert sorted(server.paths) == ["/", "/slow"]
    assert time.monotonic() - start < 6


def test_neither_stream_of_a_process_that_cannot_deliver_holds_the_address(server):
    script = (
        "import os\n"
        "from launcher.notify import News, send_news, ping\n"
        "for url in os.environ['URLS'].split():\n"
        "    print(send_news([News('done', 'title', 'body')], ['A'], os.environ | {'A': url}))\n"
        "    print(ping(os.environ | {'LAUNCHER_PING': url.replace('json', 'http')}))\n"
    )
    urls = f"json://{SECRET}:{SECRET}@127.0.0.1:{dead_port()}/{SECRET} {SECRET} x://{SECRET}"
    urls += f" {server.url(f'/404/{SECRET}')}"

    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", script],
        env=os.environ | {"URLS": urls, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (done.returncode, len(done.stdout.splitlines())) == (0, 8), done.stderr
    assert SECRET not in done.stdout + done.stderr


def test_good_pass_gets_the_url_of_the_dead_man_service(server):
    assert ping({"LAUNCHER_PING": server.url("/uuid", "http")}) is None
    assert server.gets == ["/uuid"]


def test_ping_does_nothing_where_the_variable_is_not_set():
    assert ping({}) is None


def test_ping_is_taken_from_the_variable_that_is_named(server):
    assert ping({"MY_PING": server.url("/mine", "http")}, "MY_PING") is None
    assert server.gets == ["/mine"]


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("http://127.0.0.1:{port}/404/{secret}", "HTTP 404"),
        ("http://127.0.0.1:{dead}/{secret}", "cannot be reached (ConnectionRefusedError)"),
        ("http://{secret}.invalid/", "cannot be reached (gaierror)"),
        ("file:///{secret}", "not a URL that starts with http:// or https://"),
        ("http://127.0.0.1:{port}/a {secret}", "the connection broke (InvalidURL)"),
    ],
)
def test_ping_that_fails_is_a_warning_without_the_address(server, url, fault):
    url = url.format(port=server.port, dead=dead_port(), secret=SECRET)

    assert ping({"LAUNCHER_PING": url}) == f"ping: LAUNCHER_PING: {fault}"


@pytest.mark.alone  # measures time
def test_ping_of_a_server_that_never_finishes_is_given_up_in_time(server):
    start = time.monotonic()

    warning = ping({"LAUNCHER_PING": server.url("/slow", "http")}, limit_s=2)

    assert warning == "ping: LAUNCHER_PING: no answer within 2 s"
    assert time.monotonic() - start < 5


def test_launcher_loads_apprise_in_the_courier_only():
    script = (
        "import sys; from launcher.notify import News, send_news\n"
        "send_news([News('done', 't', 'b')], ['A'], {'A': 'nowhere://'})\n"
        "print(sorted({'apprise', 'requests', 'urllib.request'} & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )

    assert done.stdout == "[]\n"
