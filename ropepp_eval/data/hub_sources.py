"""The hub repositories that data comes from: pinned revisions, files, and what is known about their content.

A checksum is listed where it was published beside the same revision or can be computed from the same file elsewhere; where none
is known, the number of records is checked instead. No figure here was guessed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

BABILONG_LENGTHS = ("0k", "1k", "2k", "4k", "8k", "16k", "32k", "64k", "128k")
BABILONG_TASKS = tuple(f"qa{number}" for number in range(1, 11))
"""The tasks that the repository has at every length; qa11 to qa20 exist at 0k alone."""


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """One file of a repository and what it becomes in the data folder."""

    path: str
    """In the repository."""
    makes: str
    """In the data folder."""
    sha256: str | None = None
    """Of the repository's file; None where it is not known."""
    records: int | None = None
    """Rows; None where it is not known."""


@dataclass(frozen=True, kw_only=True)
class HubSource:
    """One repository at one revision."""

    name: str
    """How `ropepp-eval data prepare --only` calls it."""
    repository: str
    revision: str
    licence: str
    conversion: str
    """Key of `conversions.CONVERSIONS`."""
    files: tuple[HubFile, ...] = field(default_factory=tuple)


def _openbookqa(config: str, split: str, makes: str, records: int, sha256: str | None = None) -> HubFile:
    return HubFile(path=f"{config}/{split}-00000-of-00001.parquet", makes=makes, records=records, sha256=sha256)


HUB_SOURCES = (
    HubSource(
        name="lambada",
        repository="EleutherAI/lambada_openai",
        revision="900124bf3b8235c6daf21033af9948b3f07346c4",
        licence="modified MIT",
        conversion="copy",
        files=(
            HubFile(
                path="data/lambada_test.jsonl",
                makes="lambada/lambada_test.jsonl",
                sha256="4aa8d02cd17c719165fc8a7887fddd641f43fcafa4b1c806ca8abc31fabdb226",
                records=5153,
            ),
        ),
    ),
    HubSource(
        name="wikitext",
        repository="Salesforce/wikitext",
        revision="b08601e04326c79dfdd32d625aee71d232d685c3",
        licence="CC BY-SA 3.0 and GFDL",
        conversion="wikitext",
        files=(
            HubFile(
                path="wikitext-2-raw-v1/validation-00000-of-00001.parquet",
                makes="wikitext-2-raw/wiki.valid.raw",
                records=3760,
            ),
            HubFile(
                path="wikitext-2-raw-v1/test-00000-of-00001.parquet", makes="wikitext-2-raw/wiki.test.raw", records=4358
            ),
        ),
    ),
    HubSource(
        name="openbookqa",
        repository="allenai/openbookqa",
        revision="388097ea7776314e93a529163e0fea805b8a6454",
        licence="unknown (the code repository is Apache-2.0)",
        conversion="openbookqa",
        files=(
            _openbookqa("main", "train", "openbookqa/Main/train.jsonl", 4957),
            _openbookqa("main", "validation", "openbookqa/Main/dev.jsonl", 500),
            _openbookqa("main", "test", "openbookqa/Main/test.jsonl", 500),
            _openbookqa("additional", "train", "openbookqa/Additional/train_complete.jsonl", 4957),
            _openbookqa("additional", "validation", "openbookqa/Additional/dev_complete.jsonl", 500),
            _openbookqa("additional", "test", "openbookqa/Additional/test_complete.jsonl", 500),
        ),
    ),
    HubSource(
        name="squad",
        repository="rajpurkar/squad_v2",
        revision="3ffb306f725f7d2ce8394bc1873b24868140c412",
        licence="CC BY-SA 4.0",
        conversion="squad",
        files=(
            HubFile(
                path="squad_v2/validation-00000-of-00001.parquet",
                makes="squad/dev-v2.0.json",
                sha256="0560174ab095c5ac0a8c8dc8da05f1625453c45a77e4ce9cabc6947ddfdd24cb",
                records=11873,
            ),
        ),
    ),
    HubSource(
        name="hotpotqa",
        repository="hotpotqa/hotpot_qa",
        revision="1908d6afbbead072334abe2965f91bd2709910ab",
        licence="CC BY-SA 4.0",
        conversion="hotpotqa",
        files=(
            HubFile(
                path="distractor/validation-00000-of-00001.parquet",
                makes="hotpotqa/hotpot_dev_distractor_v1.json",
                sha256="c20b638ca82b21d04fe12e14ff417ad05153d4d215a65de54497fca4e972f7c6",
                records=7405,
            ),
        ),
    ),
    HubSource(
        name="babilong",
        repository="RMT-team/babilong",
        revision="ee0d588794c7ac098062ee0d247c733d62e94fe2",
        licence="Apache-2.0 (facts of bAbI: CC BY 3.0)",
        conversion="copy",
        files=tuple(
            HubFile(path=f"data/{task}/{length}.json", makes=f"babilong/data/{task}/{length}.json", records=100)
            for length in BABILONG_LENGTHS
            for task in BABILONG_TASKS
        ),
    ),
)
NOT_ON_THE_HUB = {
    "essays/": "Paul Graham's essays: 49 pages of RULER's PaulGrahamEssays_URLs.txt as text files",
    "babi/en-10k/": "bAbI v1.2, the test files of tasks_1-20_v1-2/en-10k",
    "gutenberg/": "plain-text books (any), where PG-19's test books are not at hand",
    "openbookqa/Main/openbook.txt": "the 1,326 facts, in the archive OpenBookQA-V1-Sep2018",
    "openbookqa/Additional/crowdsourced-facts.txt": "the 5,166 further facts, in the archive OpenBookQA-V1-Sep2018",
    **dict.fromkeys(
        ("ARC/", "SuperGLUE/", "gpqa/", "hellaswag/", "piqa/", "siqa/", "winogrande/"),
        "the `data` folder that OpenCompass 0.4.2 reads, which `data prepare --from` takes as it is",
    ),
    "truthful_qa/": "the hub's `truthful_qa`, validation split as JSON lines: `generation` (validation.jsonl), `multiple_choice`",
    "nltk_data/tokenizers/punkt_tab/english/": "NLTK's English sentence model, `python -m nltk.downloader punkt_tab`",
}
"""What tasks can use besides, and where it is found."""
