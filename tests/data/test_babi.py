"""bAbI files: questions and their facts; broken lines are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from ropepp_eval.data.babi import read_questions
from ropepp_eval.data.babi_worlds import PEOPLE, SIMULATED_TASKS, THINGS, simulate_story
from ropepp_eval.errors import UserError
from ropepp_eval.streams import private_stream

STORY = """1 Mary went to the kitchen.
2 John went to the garden.
3 Where is Mary? \tkitchen\t1
4 Mary went to the office.
5 Where is Mary? \toffice\t4
1 John went to the hallway.
2 Where is John? \thallway\t1
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "qa1_test.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_question_has_the_facts_before_it_and_no_earlier_question(tmp_path: Path) -> None:
    first, second, third = read_questions(write(tmp_path, STORY))
    assert first.facts == ("Mary went to the kitchen.", "John went to the garden.")
    assert second.facts == (*first.facts, "Mary went to the office.")
    assert (second.supporting, second.answer, second.question) == ((2,), "office", "Where is Mary? ")
    assert [q.story for q in (first, second, third)] == [0, 0, 1]
    assert [q.number for q in (first, second, third)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("line", "broken", "complaint"),
    [
        (2, "John went", r"line 2: 'John went' where `ID text`"),
        (2, "3 John went to the garden.", r"line 2: ID 3 after 1 where 1 or 2 is allowed"),
        (3, "3 Where is Mary? \tkitchen", r"line 3: .* where `ID question<TAB>answer<TAB>supporting IDs`"),
        (3, "3 Where is Mary? \tkitchen\tone", r"line 3: "),
        (3, "3 Where is Mary? \t\t1", r"line 3: "),
        (3, "3 Where is Mary? \tkitchen\t7", r"line 3: supporting ID 7"),
        (4, "4", r"line 4: "),
        (4, "\u00b2 Mary went.", r"line 4: "),
    ],
)
def test_a_broken_line_is_named_by_file_and_number(tmp_path: Path, line: int, broken: str, complaint: str) -> None:
    lines = STORY.splitlines()
    lines[line - 1] = broken
    with pytest.raises(UserError, match=f"qa1_test.txt, {complaint}"):
        read_questions(write(tmp_path, "\n".join(lines)))


def test_a_file_without_questions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no question"):
        read_questions(write(tmp_path, "1 Mary went to the kitchen.\n"))


@pytest.mark.parametrize("number", range(1, 21))
def test_every_official_test_file_has_a_thousand_questions(data_dir: Path, number: int) -> None:
    questions = read_questions(next((data_dir / "babi/en-10k").glob(f"qa{number}_*_test.txt")))
    assert len(questions) == 1000
    assert all(q.supporting and q.answer for q in questions)


def walk_through(facts: tuple[str, ...]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The slow way: read the facts as English and keep where everybody and everything was."""
    place: dict[str, str] = {}
    held: dict[str, str] = {}
    been: dict[str, list[str]] = {}
    for fact in facts:
        words = fact.rstrip(".").split()
        person, last = words[0], words[-1] if words[-1] != "there" else words[-2]
        if last not in THINGS:
            place[person] = last
            for thing in (thing for thing, holder in held.items() if holder == person):
                been[thing].append(last)
        elif held.get(last) == person:
            del held[last]
        else:
            assert last not in held
            assert last not in been or been[last][-1] == place[person]
            held[last] = person
            been.setdefault(last, [place[person]])
    return place, been


@pytest.mark.parametrize("task", SIMULATED_TASKS)
def test_answers_of_simulated_stories_follow_from_their_facts(task: str) -> None:
    for story in range(40):
        for question in simulate_story(task, story, private_stream("test", task, story)):
            place, been = walk_through(question.facts)
            words = question.question.strip(" ?").split()
            if task == "qa1":
                assert words[2] in PEOPLE
                assert place[words[2]] == question.answer
            elif task == "qa2":
                assert been[words[3]][-1] == question.answer
            else:
                rooms = been[words[3]]
                assert rooms[rooms.index(words[6]) - 1] == question.answer
            assert 1 <= len(question.supporting) <= 3


@pytest.mark.parametrize("task", SIMULATED_TASKS)
def test_a_simulated_story_depends_on_its_stream_alone(task: str) -> None:
    once = simulate_story(task, 3, private_stream("x"))
    simulate_story(task, 4, private_stream("y"))
    assert simulate_story(task, 3, private_stream("x")) == once
