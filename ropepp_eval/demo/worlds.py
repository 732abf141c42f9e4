"""bAbI-like worlds as training documents: facts with questions between them, and BABILong's whole prompts."""

from __future__ import annotations

import functools
import random
import re

from ropepp_eval.data.babi import Question
from ropepp_eval.data.babi_worlds import PEOPLE, ROOMS, simulate_story
from ropepp_eval.demo.document import ANSWER, SHORT_ANSWER, TEXT, Document, encode
from ropepp_eval.text.filler import filler_sentences
from ropepp_eval.text.word_pools import all_words
from ropepp_eval.tokens.tokenizer import Tokenizer

_FACT_TOKENS = 9
_ROUND_TOKENS = 26
_SETTLED_TOKENS = 14
_FOLLOW_UP_TOKENS = 22
_WALKS = (
    ":", ":", " is", " is", " in the", " in the", " is in the", " went to the", " went back to the", " travelled to the", " journeyed to the",
    " moved to the",
)  # fmt: skip
_QUESTIONS = (
    " {person}:",
    " {person} is in the",
    " Where is {person}?",
    "\nQuestion: Where is {person}?\nAnswer: The most recent location of {person} is",
    " The most recent location of {person} is",
)
_ROOMS_ASKED = re.compile(r"Where was the (\w+) before the (\w+)\?")


def dense_world(document: Document, stream: random.Random, room: int) -> None:
    """People walk; after every fact or two it is asked where somebody is, in a few words or in the benchmark's answer."""
    facts = simulate_story("qa1", 0, stream)[-1].facts
    noise = stream.choice((0.0, 0.0, 0.3))
    sentences = filler_sentences("demo world", stream.randrange(10**9))
    places: dict[str, str] = {}
    full = stream.random() < 0.4
    for fact in facts[: max(2, 2 * room // _ROUND_TOKENS)]:
        document.add(f" {fact}")
        places[fact.split(" ")[0]] = fact.split(" ")[-1].rstrip(".")
        if stream.random() < noise:
            document.add(f" {next(sentences)}")
        if stream.random() < 0.7:
            person = stream.choice(sorted(places))
            document.add(f"\nQuestion: Where is {person}?" if full else f" Where is {person}?")
            if full:
                document.add(f"\nAnswer: The most recent location of {person} is")
            _answer(document, places[person])


def wide_world(document: Document, stream: random.Random, room: int) -> None:
    """As the other worlds, but any word may be a person or a place: among six rooms a guess is often right, here it never is.

    Few words between person and place are learned first, and carry over to more.
    """
    words = stream.sample(_short_words(document.tokenizer), 12)
    people = stream.sample(PEOPLE if stream.random() < 0.4 else words[:6], stream.randint(2, 4))
    places = ROOMS if stream.random() < 0.4 else words[6:]
    walking, said = stream.random() < 0.5, dict[str, tuple[str, str]]()
    for number in range(max(2, min(20, room // _ROUND_TOKENS))):
        person = stream.choice(people) if walking else people[number % len(people)]
        if walking or person not in said:
            said[person] = f" {person}{stream.choice(_WALKS)}", stream.choice(places)
            document.add("{} {}.".format(*said[person]))
        if number:
            asked = stream.choice(sorted(said))
            words_before, place = said[asked]
            document.add(stream.choice((words_before, *_QUESTIONS)).format(person=asked))
            document.add(f" {place}", ANSWER)
            document.add(".", TEXT)


@functools.lru_cache(maxsize=4)
def _short_words(tokenizer: Tokenizer) -> list[str]:
    """The word pool's words of one token."""
    return [word for word in all_words() if len(encode(tokenizer, f" {word}")) == 1]


def settled_world(document: Document, stream: random.Random, room: int) -> None:
    """Each person is somewhere, said in more or fewer words, and stays there; then said or asked again, in another order.

    Few words between person and room are learned first, and carry over to more; who moved last does not matter yet.
    """
    walks = {fact.split(" ")[0]: fact for fact in simulate_story("qa1", 0, stream)[-1].facts}
    people = stream.sample(sorted(walks), min(len(walks), max(2, room // _SETTLED_TOKENS)))
    stated: dict[str, tuple[str, str]] = {}
    for person in people:
        words, _, place = walks[person].rstrip(".").rpartition(" ")
        stated[person] = (stream.choice((words, words, f"{person} is in the", f"{person}:")), place)
        document.add(f" {stated[person][0]} {place}.")
    for person in stream.sample(people, len(people)):
        words, place = stated[person]
        document.add(f" {stream.choice((f'Where is {person}?', f'The most recent location of {person} is', words))}")
        _answer(document, place)


def listed_world(document: Document, stream: random.Random, room: int) -> None:
    """All facts first, with background between some, then a question for each person, answered as the benchmark asks."""
    questions = simulate_story("qa1", 0, stream)
    question = stream.choice(questions)
    sentences = filler_sentences("demo world", stream.randrange(10**9))
    noise = stream.choice((0, 1, 2)) if room > 200 else 0
    for fact in question.facts:
        document.add(f" {fact}")
        for _ in range(stream.randint(0, noise)):
            document.add(f" {next(sentences)}")
    _ask_everybody(document, stream, question.facts, [])


def world_prompt(document: Document, stream: random.Random, room: int, task: str = "qa1") -> None:
    """A whole BABILong prompt with its answer, filled up to a random size within `room` tokens, and further questions."""
    from ropepp_eval.tasks.babilong.context import mix, positions_among, random_places
    from ropepp_eval.tasks.babilong.prompts import task_prompt

    prompt = task_prompt(task)
    count = document.tokenizer.count
    question = _fitting(task, stream, room - count(prompt.fill("", "")) - 2 * _FOLLOW_UP_TOKENS)
    more = _FOLLOW_UP_TOKENS * (stream.randint(0, 3) if task == "qa1" else 0)
    free = room - more - _FOLLOW_UP_TOKENS - count(prompt.fill(" ".join(question.facts), question.question))
    target = free * (1.0 if stream.random() < 0.5 else stream.random())
    sentences: list[str] = []
    for sentence in filler_sentences("demo world", stream.randrange(10**9)):
        target -= count(" " + sentence)
        if target < 0:
            break
        sentences.append(sentence)
    places = positions_among(random_places(stream, len(question.facts)), len(sentences))
    text = prompt.fill(mix(question.facts, sentences, places).text, question.question)
    document.prompts.append(text)
    document.add(text)
    document.add("\nAnswer:" + _frame(task, question.question))
    _answer(document, question.answer, SHORT_ANSWER)
    if task == "qa1":
        _ask_everybody(document, stream, question.facts, [question.question.split(" ")[-2].rstrip("?")], more)


def _fitting(task: str, stream: random.Random, room: int) -> Question:
    """A question whose facts fit the room; of qa1 any, of the others one of the first."""
    questions = simulate_story(task, 0, stream)
    fitting = [question for question in questions if len(question.facts) * _FACT_TOKENS <= room]
    return stream.choice(fitting or questions[:1])


def _frame(task: str, question: str) -> str:
    """The benchmark's answer up to the room."""
    if task == "qa1":
        return f" The most recent location of {question.split(' ')[2].rstrip('?')} is"
    if task == "qa2":
        return f" The {question.split(' ')[3].rstrip('?')} is in the"
    found = _ROOMS_ASKED.match(question)
    assert found is not None
    return f" Before the {found[2]} the {found[1]} was in the"


def _ask_everybody(
    document: Document, stream: random.Random, facts: tuple[str, ...], asked: list[str], room: int = 10**6
) -> None:
    places = {fact.split(" ")[0]: fact.split(" ")[-1].rstrip(".") for fact in facts}
    others = [person for person in sorted(places) if person not in asked]
    for person in stream.sample(others, min(len(others), room // _FOLLOW_UP_TOKENS)):
        document.add(f"\n\nQuestion: Where is {person}?\nAnswer: The most recent location of {person} is")
        _answer(document, places[person])


def _answer(document: Document, room_name: str, weight: float = ANSWER) -> None:
    document.add(f" {room_name}", weight)
    document.add(".", TEXT)
