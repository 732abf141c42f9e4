"""An engineer with a deadline, in a terminal of 80 columns: what will it take, how far is it, which checkpoint may be released?"""

from tests.walks.walking import Step

RUN = "ropepp-eval run models/demo/rope models/demo/ropepp_ec --tasks niah_single_1 --lengths 256,512 --samples 4"

STEPS = [
    Step(
        f"{RUN} --dtype fp23 --out runs/gate",
        ("error: unknown dtype .fp23.; did you mean fp32",),
        status=2,
    ),
    Step(
        f"{RUN} --dtype fp32 --out runs/gate",
        ("plan: 4 cells, 16 rows", "niah_single_1", "ropepp-eval table runs/gate"),
    ),
    Step(
        "ropepp-eval status runs/gate",
        ("runs/gate finished 16 of 16",),
    ),
    Step(
        "ropepp-eval table runs/gate --ci",
        ("51-100", "to whole points, rounded outward"),
    ),
    Step(
        "ropepp-eval compare rope ropepp_ec runs/gate --fail-below -2",
        ("gate UNDECIDED", "these rows can.t tell whether rope is worse than ropepp_ec"),
        status=4,
    ),
    Step(
        "ropepp-eval table nowhere",
        ("error: .*nowhere",),
        status=2,
    ),
    Step(
        "ropepp-eval share runs/gate --to card --checkpoint rope --out card.md && head -n 30 card.md",
        ("model-index:", "niah_single_1"),
    ),
]
