"""The report as one HTML page: template, charts and tables put together."""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from launcher import __version__
from launcher.report.curves import Curve
from launcher.report.story import Story
from launcher.report.words import amount, summary
from launcher.show.report.charts import curve_chart, gantt, waterfall
from launcher.show.report.svg import draw
from launcher.show.report.tables import facts, tables
from launcher.words import counted, points

_FOLDER = Path(__file__).parent


def render(story: Story) -> str:
    """The page; needs nothing beside it, and runs no script."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        run=story.run,
        facts=facts(story),
        summary=summary(story),
        tables=tables(story),
        gantt=_gantt(story),
        waterfall=_waterfall(story),
        curves=_curves(story),
        version=__version__,
        # It ends where its file says, whatever stands in it.
        css=Markup((_FOLDER / "report.css").read_text(encoding="utf-8")),  # noqa: S704 - our own
    )


def _gantt(story: Story) -> Markup | None:
    if not any(each.queued_at or each.started_at for each in story.attempts):
        return None
    stages = [row.stage for row in story.stages if row.attempts]
    told = f"{counted(len(story.attempts), 'attempt')} of {', '.join(stages)} by the time of day."
    return draw(gantt(story), "gantt", "Stages and attempts over time", told)


def _waterfall(story: Story) -> Markup | None:
    spent = story.account.gpu_spent if story.has_gpus else story.account.spent
    if not spent.allocated:
        return None
    told = f"{amount(story, spent.allocated)} allocated, {points(100 * spent.goodput)} productive."
    return draw(
        waterfall(spent, "GPU-" if story.has_gpus else ""), "waterfall", "Goodput waterfall", told
    )


def _curves(story: Story) -> Sequence[tuple[str, Sequence[tuple[str, Markup]]]]:
    """Stages, and of each the titles and the charts of its curves."""
    return [
        (
            stage,
            [
                (curve.title, _curve(curve, f"curve-{i}-{j}", stage))
                for j, curve in enumerate(curves)
            ],
        )
        for i, (stage, curves) in enumerate(story.curves.items())
    ]


def _curve(curve: Curve, name: str, stage: str) -> Markup:
    told = f"Last {curve.last:.4g}, from {curve.least:.4g} to {curve.most:.4g}."
    return draw(curve_chart(curve), name, f"{curve.title}, {stage}", told)
