"""A researcher with two position embeddings: does it hold up, where does it break, which rows does it lose?"""

from tests.walks.walking import Step

RUN = "ropepp-eval run models/demo/alibi models/demo/nope --dtype float32 --out runs/mine"

STEPS = [
    Step(
        f"{RUN} --task niah_single_1 --lengths 512",
        (
            "--task",
            "did you mean --tasks",
        ),
        status=2,
    ),
    Step(
        f"{RUN} --tasks niah_single_1 --lengths 512,2k --samples 3",
        ("trained at 512|512 tokens", "--allow-beyond-trained-length"),
        status=2,
    ),
    Step(
        f"{RUN} --tasks niah_single_1 --lengths 512 --samples 3",
        ("reading 2 checkpoints", "plan: 2 cells, 6 rows", "generated text|tiny model", "ropepp-eval table runs/mine"),
        never=("batches", "shared runs"),
    ),
    Step(
        f"{RUN} --tasks niah_single_1,babilong_qa1 --lengths 512,1k --samples 4 --allow-beyond-trained-length",
        ("8 cells", "6 .*rows? .*(there|done|stored)|(there|done|stored).* 6 "),
    ),
    Step(
        "ropepp-eval compare alibi nope runs/mine --brief",
        ("babilong_qa1: tied", "a tie of cells says nothing here"),
    ),
    Step(
        "ropepp-eval rows runs/mine --wrong --checkpoint nope --limit 3",
        ("nope", "answer"),
    ),
    Step(
        "ropepp-eval rows runs/mine --show 0",
        ("question|references?", "score", "prompt"),
    ),
    Step(
        "ropepp-eval rescore runs/mine",
        ("32 left as they are",),
    ),
    Step(
        "ropepp-eval report runs/mine --out mine.html",
        ("mine.html",),
    ),
]
