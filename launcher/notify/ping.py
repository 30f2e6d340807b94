"""The dead-man's switch: a service that calls for help when it no longer hears from passes."""

from collections.abc import Mapping
from typing import Final

from launcher.notify.messenger import ask_courier

PING: Final = "LAUNCHER_PING"
"""The variable with the URL to get after a good pass."""

PING_LIMIT_S: Final = 5.0


def ping(
    env: Mapping[str, str], url_env_name: str = PING, *, limit_s: float = PING_LIMIT_S
) -> str | None:
    """Gets the URL of the dead-man service; nothing happens where the variable is not set.

    Args:
        env: The variables, from `load_environment`.
        url_env_name: The one that holds the URL.
        limit_s: After so long it is given up.

    Returns:
        A warning that names the variable only, or None.
    """
    url = env.get(url_env_name, "").strip()
    if not url:
        return None
    report = ask_courier({"ping": url}, env, limit_s)
    fault = report.answers[0]["fault"] if report.answers else report.silence
    return f"ping: {url_env_name}: {fault}" if fault else None
