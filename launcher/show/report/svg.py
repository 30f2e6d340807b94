"""Vega-Lite specifications as SVG that stands inside of a page, by vl-convert."""

import re
from typing import Any

from markupsafe import Markup, escape

from launcher.show.report.charts import CONFIG

_SIZE = re.compile(r'<svg ([^>]*?)width="(\d+)" height="(\d+)"')
_PATH = re.compile(r' d="[^"]*"')
_DIGITS = re.compile(r"(\.\d)\d+")
_CLIP = re.compile(r'(id="|url\(#)(clip|gradient_)')


def draw(spec: dict[str, Any], name: str, title: str, told: str) -> Markup:
    """Draws a chart.

    Args:
        spec: Its Vega-Lite specification.
        name: Unique in the page; letters, digits and dashes.
        title: For who cannot see it, and for who points at it.
        told: What it shows, in a sentence.
    """
    import vl_convert  # noqa: PLC0415 - of the extra `report`

    svg: str = vl_convert.vegalite_to_svg({**spec, "config": CONFIG})
    # The ids of two charts in one page must not be the same.
    svg = _CLIP.sub(rf"\g<1>{name}-\g<2>", svg)
    # A tenth of a pixel is not seen; the page of a long run has half the size without the rest.
    svg = _PATH.sub(lambda path: _DIGITS.sub(r"\g<1>", path[0]), svg)
    label = f'role="img" aria-labelledby="{name}-title {name}-desc"'
    svg = _SIZE.sub(rf'<svg \g<1>{label} style="max-width:\g<2>px"', svg, count=1)
    head, _, rest = svg.partition(">")
    words = (
        f'<title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-desc">{escape(told)}</desc>'
    )
    return Markup(f"{head}>{words}{rest}")  # noqa: S704 - texts in it are escaped by Vega and here
