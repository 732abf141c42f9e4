"""SuperGLUE's records as lm-eval 0.4.13's own tasks see them: one function a file, from its path to the records of a part."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

from ropepp_eval.data.text_files import numbered_json_lines
from ropepp_eval.errors import UserError
from ropepp_eval.outside import Outside
from ropepp_eval.rows.ranking import Record, right_label
from ropepp_eval.tasks.super_glue.readers import ENTAILMENT, Alternatives, Pair, Part, Pronoun, labelled, multirc

_ADVICE = "get the file anew"
_TRUE = (True, "true", "True", 1)
_FALSE = (False, "false", "False", 0)


class _Asked(Outside):
    question: str
    passage: str
    label: bool | int | str | None = None


def boolq(path: Path) -> Iterator[Record]:
    """BoolQ: a label may be a JSON boolean, its text or 0 and 1."""
    for number, (where, one) in enumerate(numbered_json_lines(path, _Asked)):
        yield Record(
            name=str(number), fields={"question": one.question, "passage": one.passage}, gold=truth(one.label, where)
        )


class _Sense(Outside):
    sentence1: str
    sentence2: str
    start1: int
    end1: int
    label: bool | int | str | None = None


def wic(path: Path) -> Iterator[Record]:
    """WiC: the word as it stands in the first sentence."""
    for number, (where, one) in enumerate(numbered_json_lines(path, _Sense)):
        fields = {
            "sentence1": one.sentence1,
            "sentence2": one.sentence2,
            "said": one.sentence1[one.start1 : one.end1],
        }
        yield Record(name=str(number), fields=fields, gold=truth(one.label, where))


def truth(label: object, where: str) -> str:
    """`1` or `0`. Raises UserError for anything that is neither true nor false."""
    return "1" if right_label(label, (*_TRUE, *_FALSE), where) in map(str, _TRUE) else "0"


def copa(path: Path) -> Iterator[Record]:
    """COPA: the premise without its full stop, a connecting word, and either sentence with a small letter.

    lm-eval puts a blank before each of them, so that two stand before what is scored, and takes a choice for right by its text: of two
    equal ones the first.
    """
    for record in labelled(Alternatives, (0, 1))(path):
        yield connected(record)


def connected(record: Record) -> Record:
    """A record of COPA as this protocol sees it."""
    fields = record.fields
    word = {"cause": "because", "effect": "therefore"}.get(fields["question"])
    texts = [fields["choice1"], fields["choice2"]]
    if word is None or not all(texts):
        raise UserError(
            f"COPA, record {record.name}: it must ask for cause or effect and have two choices that are not empty; {_ADVICE}"
        )
    options = tuple(f" {text[0].lower()}{text[1:]}" for text in texts)
    gold = str(options.index(options[int(record.gold or 0)]))
    return Record(
        name=record.name, fields={"premise": fields["premise"].strip()[:-1], "word": word}, options=options, gold=gold
    )


def answers(path: Path) -> Iterator[Record]:
    """MultiRC: each answer with `yes` and with `no`. lm-eval takes the label for the place among these, so that of a right answer `no`
    is taken for right; that is kept."""
    for record in multirc(path):
        yield confirmed(record)


def confirmed(record: Record) -> Record:
    """A record of MultiRC as this protocol sees it; lm-eval reads the choices as Python's text, in which a backslash begins an escape."""
    try:
        with warnings.catch_warnings():  # of a backslash that begins none
            warnings.simplefilter("ignore")
            options = tuple(
                str(ast.literal_eval(f"'''{record.fields['answer']}\\nIs the answer correct? {word}'''"))
                for word in ("yes", "no")
            )
    except (SyntaxError, ValueError) as error:
        raise UserError(
            f"MultiRC, record {record.name}: lm-eval can't read its answer as Python's text; take the line out of the file"
        ) from error
    fields = {"paragraph": record.fields["text"], "question": record.fields["question"]}
    return Record(name=record.name, fields=fields, options=options, gold=record.gold)


class _Marked(Pronoun):
    label: bool | int | str | None = None


def wsc(path: Path) -> Iterator[Record]:
    """WSC: the pronoun between stars, at the word that the second span begins with; lm-eval's own function takes tokenization back."""
    from lm_eval.utils import general_detokenize

    for number, (where, one) in enumerate(numbered_json_lines(path, _Marked)):
        target = one.target
        before = " ".join(one.text.split()[: target.span2_index])
        after = one.text[len(before) + len(target.span2_text) + 1 :]
        fields = {
            "passage": general_detokenize(f"{before} *{target.span2_text}*{after}"),
            "noun": target.span1_text,
            "pronoun": target.span2_text,
        }
        yield Record(name=str(number), fields=fields, gold=truth(one.label, where))


def as_reference(task: str, record: Record) -> Record:
    """A stand-in record of the paper's protocol as this one's tasks see it."""
    fields = record.fields
    if task == "super_glue_copa":
        return connected(record)
    if task == "super_glue_multirc":
        return confirmed(record)
    if task == "super_glue_wic":
        return Record(name=record.name, fields={**fields, "said": fields["word"]}, gold=record.gold)
    if task == "super_glue_wsc":
        own = {"passage": fields["text"], "noun": fields["span1"], "pronoun": fields["span2"]}
        return Record(name=record.name, fields=own, gold="1" if record.gold == "A" else "0")
    return record


REFERENCE: Mapping[str, Part] = {
    "super_glue_boolq": Part("BoolQ/val.jsonl", boolq),
    "super_glue_cb": Part("CB/val.jsonl", labelled(Pair, ("entailment", "contradiction", "neutral"))),
    "super_glue_copa": Part("COPA/val.jsonl", copa),
    "super_glue_multirc": Part("MultiRC/val.jsonl", answers),
    "super_glue_rte": Part("RTE/val.jsonl", labelled(Pair, ENTAILMENT)),
    "super_glue_wic": Part("WiC/val.jsonl", wic),
    "super_glue_wsc": Part("WSC/val.jsonl", wsc),
}
"""By task. Of ReCoRD lm-eval has no accuracy, of the diagnostic sets no task."""
