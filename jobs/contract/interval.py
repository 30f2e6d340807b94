"""How long to work between two saves, by formula: for the job that saves and for the plan.

Saving costs the time that training is held; not saving costs, at each loss, half an interval of
work. Young's interval makes the sum of both least, Daly's correction does so also where a save is
not short beside the time between losses.

Sources: Young, CACM 17(9), 1974; Daly, FGCS 22(3), 2006, equation 37.
"""

import math


def young_s(held_s: float, mtbf_s: float) -> float:
    """Seconds of work between two saves, to the first order: sqrt(2 C M).

    Args:
        held_s: Seconds that a save holds training up, C.
        mtbf_s: Mean seconds between two losses of work, M.
    """
    return math.sqrt(2 * held_s * mtbf_s)


def daly_s(held_s: float, mtbf_s: float) -> float:
    """Seconds of work between two saves that lose least.

    Args:
        held_s: Seconds that a save holds training up.
        mtbf_s: Mean seconds between two losses of work.
    """
    if held_s >= 2 * mtbf_s:
        return mtbf_s
    share = held_s / (2 * mtbf_s)
    return young_s(held_s, mtbf_s) * (1 + math.sqrt(share) / 3 + share / 9) - held_s
