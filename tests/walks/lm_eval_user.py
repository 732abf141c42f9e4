"""Somebody who has lm-eval's habits: its command line, its switches, its files."""

from tests.walks.walking import Step

LM_EVAL = "ropepp-eval lm-eval run --model ropepp --model_args pretrained=models/demo/rope,dtype=float32"

STEPS = [
    Step(
        "ropepp-eval lm-eval --help",
        ("ropepp", "TASK@LENGTH", "--limit"),
    ),
    Step(
        f"{LM_EVAL} --tasks niah_single_1@512 --limit 2 --output_path theirs --log_samples",
        (r"niah_single_1@512", "string_match"),
        never=("overrides existing task",),
    ),
    Step(
        f"{LM_EVAL} --tasks niah_single_9@512 --limit 2",
        ("unknown task 'niah_single_9'", "did you mean|tasks"),
        status=2,
    ),
    Step(
        "ropepp-eval table theirs",
        ("ruler: string_match in percent", "niah_single_1", " 512 "),
        never=(" any ",),
    ),
    Step(
        "ropepp-eval run models/demo/rope --tasks niah_single_1 --lengths 512 --samples 2 --dtype float32 --quiet --out runs/ours",
        ("niah_single_1",),
    ),
    Step(
        "ropepp-eval share runs/ours --to lm-eval --out shared",
        ("shared: 1 cell",),
    ),
    Step(
        "ropepp-eval table shared",
        ("ruler: string_match in percent", " 512 "),
    ),
]
