"""An engineer with a deadline, in a terminal of 80 columns: what will it take, how far is it, which checkpoint may be released?"""

from tests.walks.walking import Step

RUN = "ropepp-eval run models/demo/rope models/demo/ropepp_ec --tasks niah_single_1 --lengths 256,512 --samples 4"

STEPS = [
    Step(
        f"{RUN} --dtype fp23 --out runs/gate",
        ("error: .*fp23", "float32"),
        status=2,
    ),
    Step(
        f"{RUN} --dtype fp32 --out runs/gate",
        ("plan: 4 cells, 16 rows", "niah_single_1", "ropepp-eval table runs/gate"),
    ),
    Step(
        "ropepp-eval status runs/gate",
        ("success|finished", "16"),
    ),
    Step(
        "ropepp-eval table runs/gate --ci",
        ("to 100.0",),
    ),
    Step(
        "ropepp-eval compare rope ropepp_ec runs/gate --fail-below -2",
        ("niah_single_1",),
        status=4,
    ),
    Step(
        "ropepp-eval table nowhere",
        ("error: .*nowhere",),
        status=2,
    ),
    Step(
        "ropepp-eval share runs/gate --to card --checkpoint rope --out card.md",
        ("card.md",),
    ),
]
