"""Prompts in chat: what enters the model is the tokenizer's template around the task's prompt, to the token, and within the length."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from ropepp_eval.adapters.native import NativeLM
from ropepp_eval.adapters.writer import Writer
from ropepp_eval.cli import main
from ropepp_eval.data import open_data
from ropepp_eval.errors import UserError
from ropepp_eval.records import parse_lines
from ropepp_eval.reports.cells import read_cells
from ropepp_eval.reports.row_views import row_views
from ropepp_eval.rows.building import frozen_rows
from ropepp_eval.rows.catalogue import task_entries
from ropepp_eval.rows.requests import requests_of
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.runs.prompts import Prompts
from ropepp_eval.tokens.tokenizer import load_tokenizer
from tests.conftest import make_tiny_checkpoint

TEMPLATE = (
    "{% if messages[0].role != 'system' %}<|turn|>system\nBe brief on {{ strftime_now('%d %b %Y') }}.<|end|>\n{% endif %}"
    "{% for m in messages %}<|turn|>{{ m.role }}\n{{ m.content | trim }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% if enable_thinking %}{% else %}{% endif %}{% endif %}"
)
OF_THAT_DAY = TEMPLATE.replace("{{ strftime_now('%d %b %Y') }}", "26 Jul 2024")
BEFORE = "<|turn|>system\nBe brief on 26 Jul 2024.<|end|>\n<|turn|>user\n"
AFTER = "<|end|>\n<|turn|>assistant\n"


def chat_tokenizer(source: Path, folder: Path, template: str | None) -> Path:
    """The tests' tokenizer with two more tokens, and a template."""
    fast = PreTrainedTokenizerFast.from_pretrained(source)
    fast.add_special_tokens({"additional_special_tokens": ["<|turn|>", "<|end|>"]})
    fast.chat_template = template
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def small_tokenizer(tiny_tokenizer_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chat_tokenizer(tiny_tokenizer_dir, tmp_path_factory.mktemp("chat"), TEMPLATE)


@pytest.fixture(scope="session")
def checkpoint(small_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_tiny_checkpoint(tmp_path_factory.mktemp("chat-model") / "tiny", small_tokenizer, seed=3)
    return folder


def rows(tokenizer: Path, task: str, length: int = 512, **rules: Any) -> tuple[list[Row], Any]:
    loaded = load_tokenizer(str(tokenizer), prompt_format="chat", **rules)
    request = RowRequest(
        task=task, length_tokens=length, samples=3, seed=1, protocol="reference", tokenizer=loaded, data=open_data(None, offline=True)
    )  # fmt: skip
    return frozen_rows(request, task_entries()[task].build_rows()), loaded


@pytest.mark.parametrize("task", [name for name, entry in task_entries().items() if entry.benchmark == "ruler"])
def test_every_ruler_prompt_is_the_template_around_the_question_and_then_the_answer_prefix(
    task: str, small_tokenizer: Path
) -> None:
    length = 2048
    asked, loaded = rows(small_tokenizer, task, length)
    theirs = AutoTokenizer.from_pretrained(small_tokenizer)
    for row in asked:
        question, _, prefix = row.prompt.removeprefix(BEFORE).partition(AFTER)
        assert row.prompt.startswith(BEFORE)
        assert prefix.startswith((" The special magic", " Answer:"))
        messages = [{"role": "user", "content": question}]
        text = theirs.apply_chat_template(messages, add_generation_prompt=True, tokenize=False, chat_template=OF_THAT_DAY)
        assert loaded.prompt_ids(row.prompt) == theirs.encode(text + prefix, add_special_tokens=False)
        assert row.prompt_tokens == len(loaded.prompt_ids(row.prompt))
        assert row.prompt_tokens + row.max_new_tokens <= length
        assert row.details["prompt_format"] == "chat"


def test_a_row_in_chat_asks_the_row_that_was_asked_before(small_tokenizer: Path) -> None:
    """Not the same haystack, for the template takes room, but the same question."""
    base = RowRequest(
        task="babilong_qa1", length_tokens=2048, samples=3, seed=1, protocol="reference",
        tokenizer=load_tokenizer(str(small_tokenizer)), data=open_data(None, offline=True),
    )  # fmt: skip
    plain = frozen_rows(base, task_entries()["babilong_qa1"].build_rows())
    asked, _ = rows(small_tokenizer, "babilong_qa1", 2048)
    assert [row.references for row in asked] == [row.references for row in plain]
    assert [row.question for row in asked] == [row.question for row in plain]
    assert all(row.prompt.endswith(AFTER) for row in asked)


def test_a_system_message_and_a_reasoning_budget_are_in_the_prompt_and_in_the_length(small_tokenizer: Path) -> None:
    asked, _ = rows(small_tokenizer, "niah_single_1", 1024, system="Think hard.", reasoning_budget=100)
    for row in asked:
        assert row.prompt.startswith("<|turn|>system\nThink hard.<|end|>\n<|turn|>user\nA special")
        assert row.prompt.endswith(
            "mentioned in the provided text is" + AFTER
        )  # thinking comes before the answer's beginning
        assert row.max_new_tokens == 228
        assert 900 < row.prompt_tokens + row.max_new_tokens <= 1024


def test_the_end_of_the_turn_ends_an_answer(small_tokenizer: Path, checkpoint: Path) -> None:
    lm = NativeLM(str(checkpoint), prompt_format="chat")
    end = lm.encoder.tokenizer.fast.convert_tokens_to_ids("<|end|>")
    assert end in lm.end_ids
    assert end not in NativeLM(str(checkpoint)).end_ids


def test_a_run_in_chat_is_stored_resumed_and_shown_as_one(checkpoint: Path, tmp_path: Path, capsys: Any) -> None:
    command = [
        "run",
        str(checkpoint),
        "--tasks",
        "niah_single_1",
        "--lengths",
        "512",
        "--samples",
        "2",
        "--dtype",
        "float32",
    ]
    both = [str(tmp_path / name) for name in ("chat", "base")]
    assert main([*command, "--prompt-format", "chat", "--out", both[0]]) == 0
    assert "prompts are in the tokenizer's chat template" in " ".join(capsys.readouterr().err.split())
    assert main([*command, "--out", both[1]]) == 0
    capsys.readouterr()
    assert main([*command, "--prompt-format", "chat", "--out", both[0]]) == 0
    assert "finished before" in capsys.readouterr().err
    assert main([*command, "--out", both[0]]) == 2  # another format would change what the folder holds
    assert "belongs to another run" in capsys.readouterr().err
    records, damage = parse_lines(next(Path(both[0]).glob("rows/*/*.jsonl")).read_bytes())
    assert not damage
    assert {record["protocol"] for record in records} == {"reference+chat"}
    assert not any("reasoning_tokens" in record for record in records)
    assert main(["table", *both, "--format", "json"]) == 0
    tables = json.loads(capsys.readouterr().out)
    assert len({json.dumps(one) for one in tables}) == len(tables)
    cells = read_cells(*both)
    assert sorted(cell.name.protocol for cell in cells.cells) == ["reference", "reference+chat"]
    assert main(["table", *both]) == 0
    shown = capsys.readouterr().out
    assert "(protocol reference)" in shown
    assert "(protocol reference+chat)" in shown
    chat = next(cell for cell in cells.cells if cell.name.protocol == "reference+chat")
    view = next(view for view in row_views(cells) if view.cell is chat)
    assert Prompts().of(view).startswith(BEFORE)


def test_thinking_is_told_in_the_ledger_and_not_scored(checkpoint: Path, small_tokenizer: Path, monkeypatch: Any) -> None:
    """The model's tokens are chosen here: it thinks, then answers."""
    lm = NativeLM(str(checkpoint), prompt_format="chat", reasoning_budget=60)
    (row, *_), loaded = rows(small_tokenizer, "niah_single_1", 1024, reasoning_budget=60)
    said = loaded.encode("<think>Is it 12? No.</think> It is 345.<|end|>")
    given = iter(said)
    add = Writer.add
    monkeypatch.setattr(Writer, "add", lambda writer, _: add(writer, next(given)))
    doc = row.as_doc()
    ((_, answer),) = lm.answers(requests_of(row, "generate_until", {}, doc=doc))
    assert answer.error is None
    assert (answer.response, answer.finish, answer.new_tokens) == (" It is 345.", "eos", len(said))
    assert answer.reasoning_tokens == len(loaded.encode("<think>Is it 12? No.</think>"))


def written(tokenizer: Any, text: str, **settings: Any) -> Writer:
    writer = Writer(tokenizer.fast, settings.pop("budget", 40), settings.pop("stops", ()), frozenset({511}), **settings)
    for token in [*tokenizer.encode(text), 511]:
        if writer.add(token):
            break
    return writer


def test_thinking_within_and_over_its_budget(small_tokenizer: Path) -> None:
    tokenizer = load_tokenizer(str(small_tokenizer))
    thought = "<think>one\n\ntwo</think>"
    size = len(tokenizer.encode(thought))
    inside = written(tokenizer, thought + " four\nfive", reasoning_budget=size, budget=size + 20, stops=("\n",))
    assert (inside.result(), inside.finish, inside.reasoning_tokens) == (" four", "stop", size)
    over = written(tokenizer, thought + " four", reasoning_budget=size - 1, budget=size + 20)
    assert (over.result(), over.finish, over.reasoning_tokens) == ("", "length", size - 1)
    direct = written(tokenizer, "four\nfive", reasoning_budget=30, budget=34, stops=("\n",))
    assert (direct.result(), direct.finish, direct.reasoning_tokens) == ("four", "stop", 0)
    short = written(tokenizer, "4567890", reasoning_budget=30, budget=34)  # a budget for thinking is none for answers
    assert (short.result(), short.finish) == ("4567", "length")
    opened = written(tokenizer, "yes</think>no", reasoning_budget=30, budget=40, thinks_already=True)
    assert (opened.result(), opened.reasoning_tokens) == ("no", len(tokenizer.encode("yes</think>")))


REFUSED: dict[str, tuple[str | None, list[str], str]] = {
    "no template": (None, [], "has no chat template"),
    "a template that fails": ("{{ raise_exception('no users here') }}", [], "its chat template fails (no users here)"),
    "a template that is no jinja": ("{% if %}", [], "its chat template fails"),
    "a dropped question": ("<|turn|>hello", [], "drops the user's message"),
    "a dropped system message": (
        "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}", ["--system", "Be kind."], "drops the system message",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_template_that_can_not_be_used_is_one_line(
    name: str, tiny_tokenizer_dir: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    template, more, message = REFUSED[name]
    tokenizer = chat_tokenizer(tiny_tokenizer_dir, tmp_path / "tokenizer", template)
    command = ["run", str(checkpoint), "--tokenizer", str(tokenizer), "--tasks", "niah_single_1", "--lengths", "512"]
    assert main([*command, "--prompt-format", "chat", *more, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--system", "Be kind."], "system is of chat prompts; add --prompt-format chat"),
        (["--reasoning-budget", "9"], "reasoning_budget is of chat prompts"),
        (["--prompt-format", "chatty"], "prompt format 'chatty' is not known; it may be base or chat"),
        (["--prompt-format", "chat", "--tasks", "lambada"], "task lambada scores a given text, which no chat holds"),
    ],
)
def test_options_that_do_not_go_together(
    given: list[str], message: str, checkpoint: Path, tmp_path: Path, capsys: Any
) -> None:
    command = ["run", str(checkpoint), "--tasks", "niah_single_1", "--lengths", "512", "--out", str(tmp_path / "out")]
    assert main([*command, *given]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_other_tasks_of_lm_eval_are_not_asked_half_in_chat(checkpoint: Path) -> None:
    from lm_eval.api.instance import Instance

    lm = NativeLM(str(checkpoint), prompt_format="chat")
    with pytest.raises(UserError, match="prompt_format chat is for rows of this project's tasks"):
        lm.generate_until([Instance("generate_until", {}, ("Hello", {"until": ["\n"]}), 0)])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("lm_eval_index")
def test_inside_lm_eval_our_tasks_are_asked_in_chat_by_the_models_arguments(
    checkpoint: Path, tmp_path: Path, capsys: Any
) -> None:
    arguments = f"pretrained={checkpoint},dtype=float32,prompt_format=chat"
    command = ["lm-eval", "--model", "ropepp", "--model_args", arguments, "--tasks", "niah_single_1@512", "--limit", "2"]
    assert main([*command, "--output_path", str(tmp_path / "out"), "--log_samples"]) == 0
    capsys.readouterr()
    (cell,) = read_cells(str(tmp_path / "out")).cells
    assert (cell.name.task, cell.name.length_tokens, cell.name.protocol) == ("niah_single_1", 512, "reference+chat")
    assert len(cell.rows) == 2
    samples = next((tmp_path / "out").rglob("samples_*.jsonl")).read_text()
    assert json.loads(samples.splitlines()[0])["doc"]["prompt"].startswith(BEFORE)
