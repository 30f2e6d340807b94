"""All that `plan` shows beside the plan itself."""

from collections.abc import Sequence

from rich.markup import escape

from launcher.disk import Disk
from launcher.outlook import Outlook, Wanted
from launcher.queues import Queues
from launcher.show.console import Screen
from launcher.show.foresight import show_outlook, show_sizes
from launcher.show.surroundings import disk_line, disk_warning, queue_lines
from launcher.sizes import Size


def show_ahead(
    screen: Screen,
    wanted: Wanted,
    queues: Queues,
    disk: Disk,
    outlook: Outlook | None,
    sizes: Sequence[Size],
) -> None:
    """Shows queue and disk, then what the simulation says, where one was asked for."""
    screen.result(*map(escape, (*queue_lines(queues), disk_line(disk))))
    if outlook is not None:
        show_outlook(screen, outlook)
    elif wanted.foresees:
        screen.warn("nothing to simulate: no stage says how long it takes; add expect to a stage")
    if sizes:
        show_sizes(screen, sizes)
    if warning := disk_warning(disk):
        screen.warn(warning)
