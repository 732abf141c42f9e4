"""The one lm-eval task class that all our tasks share: rows in, requests out, the budget checked in one place."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask

from ropepp_eval.errors import UserError
from ropepp_eval.rows.lm_eval_switches import refuse_other_prompts
from ropepp_eval.rows.protocols import protocol_label
from ropepp_eval.rows.requests import Unanswered, requests_of
from ropepp_eval.rows.row import Row, row_from_doc

_log = logging.getLogger(__name__)
FAILED = "failed"
"""The metric that counts rows without an answer, in lm-eval's tables and files, where there are some."""


class RowTask(ConfigurableTask):
    """A task of ours inside lm-eval 0.4.13.

    Its YAML names this class, `custom_dataset: !function hooks.rows` (a `RowBuilder`) and
    `process_results: !function hooks.process_results`. What a run decides comes as metadata
    (`lm_eval --metadata '{"length_tokens": 8192, "tokenizer": "gpt2"}'`):

    - length_tokens, samples, seed, protocol, data_dir, offline: see `RowRequest`;
    - tokenizer (or pretrained): folder or hub id of the tokenizer the rows are fitted with.
    """

    def __init__(self, config: dict[str, Any] | None = None, **_: Any) -> None:
        config = dict(config or {})
        config.pop("class", None)
        self.base_name: str = config.get("metadata", {}).get("base_task") or config["task"]
        self._asked = 1  # lm-eval's constructor looks at one row
        self._failed: dict[int, str] = {}
        super().__init__(config=config)
        self._asked = self._request.samples

    def download(self, dataset_kwargs: dict[str, Any] | None = None, **_: Any) -> None:
        """Read what the metadata asks for; rows are built (or the frozen ones read) when it is known how many are wanted."""
        from ropepp_eval.rows.building import request_from_metadata

        request = self._request = request_from_metadata(self.base_name, self.config.metadata)
        self._built, self._warned = 0, False
        self.config.metadata = {
            **self.config.metadata,
            "row_task": {  # what lm-eval's results files then say of our rows
                "task": request.task,
                "length_tokens": request.length_tokens,
                "protocol": protocol_label(request.protocol, "chat" if request.tokenizer.chat else "base"),
                "seed": request.seed,
                "tokenizer_sha256": request.tokenizer.sha256,
                "benchmark": self.config.metadata.get("benchmark", request.task),
                "averaged": bool(self.config.metadata.get("averaged", True)),
            },
        }

    @property
    def dataset(self) -> dict[Any, Any]:
        """lm-eval's split with the rows asked for."""
        if self._built != self._asked:
            self._docs, self._built = self._documents(), self._asked
        return {self.config.test_split: self._docs}

    def _documents(self) -> Any:
        import datasets

        from ropepp_eval.rows.building import frozen_rows

        self.rows = frozen_rows(replace(self._request, samples=self._asked), self.config.custom_dataset)
        if (
            any(row.stand_in for row in self.rows) and not self._warned
        ):  # lm-eval's own tables have no column that would say it
            self._warned = True
            _log.warning(
                "task %s: generated text stands in for the real corpus, so its scores compare with nothing else; "
                "name a data folder with --metadata '{\"data_dir\": ...}'",
                self.base_name,
            )
        docs = [row.as_doc() | {"row_sha256": row.sha256} for row in self.rows]
        for doc in docs:  # Arrow wants one schema for all rows; details differ from row to row
            doc["details"] = json.dumps(doc["details"], ensure_ascii=False)
        return datasets.Dataset.from_list(docs)

    def build_all_requests(
        self,
        *,
        limit: int | None = None,
        samples: list[int] | None = None,
        cache_requests: bool = False,
        rewrite_requests_cache: bool = False,
        **more: Any,
    ) -> None:
        """lm-eval's `--limit` and `--samples` build only those rows. Its cache of requests does not know length, seed and tokenizer;
        rows have a cache of their own that does, always, so `--cache_requests` changes nothing here.

        Raises:
            UserError: a switch would change the prompts, or `samples` names no row of this task.
        """
        named = {name: more.get(name) for name in ("apply_chat_template", "system_instruction")}
        refuse_other_prompts(self.config.task, {"num_fewshot": self.config.num_fewshot, **named})
        if samples:
            self._asked = self._rows_to_build(samples)
        elif limit:
            self._asked = min(limit, self._request.samples)
        super().build_all_requests(limit=limit, samples=samples, **more)

    def _rows_to_build(self, samples: list[int]) -> int:
        if samples != sorted({number for number in samples if isinstance(number, int) and number >= 0}):
            raise UserError(
                f"--samples names rows {samples} of {self.config.task}; give their numbers from 0 in rising order, each once"
            )
        self._asked = max(samples) + 1
        have = len(self.dataset[self.config.test_split])
        if have < self._asked:
            raise UserError(f"--samples names row {max(samples)} of {self.config.task}, which has {have}, numbered from 0")
        return self._asked

    def doc_to_text(self, doc: Mapping[str, Any], doc_to_text: Any = None) -> str:
        """The prompt as it is: no template, so braces and trailing blanks survive."""
        return "" if self.OUTPUT_TYPE == "loglikelihood_rolling" else str(doc["prompt"])

    def doc_to_target(self, doc: Mapping[str, Any], doc_to_target: Any = None) -> Any:
        """What a right answer is, in lm-eval's terms for this output type."""
        if self.OUTPUT_TYPE == "generate_until":
            return list(doc["references"])
        if self.OUTPUT_TYPE == "multiple_choice":
            return doc["gold"]
        if self.OUTPUT_TYPE == "loglikelihood":
            return doc["choices"][doc["gold"] or 0]
        return doc["prompt"]

    def doc_to_choice(self, doc: Mapping[str, Any], doc_to_choice: Any = None) -> list[str]:
        return list(doc["choices"])

    def fewshot_context(self, doc: Mapping[str, Any], *_: Any, **__: Any) -> str:
        """Worked examples belong to the row (their tokens are in its budget), so none is added here."""
        return self.doc_to_text(doc)

    def construct_requests(self, doc: dict[str, Any], ctx: Any, **kwargs: Any) -> list[Instance]:
        """One instance a row, or one a choice."""
        kwargs.pop("apply_chat_template", None)
        kwargs.pop("chat_template", None)
        generation = dict(self.config.generation_kwargs or {})
        named_length = "base_task" in (self.config.metadata or {})  # TASK@LENGTH; else the model's own window, as in lm-eval
        return requests_of(row_of(doc), str(self.OUTPUT_TYPE), generation, row_window=named_length, doc=doc, **kwargs)

    def apply_filters(self) -> Any:
        """Before the responses are scored: which rows have none."""
        found = ((instance, response) for instance in self.instances for response in instance.resps)
        self._failed = {
            instance.doc["row"]: str(response) for instance, response in found if isinstance(response, Unanswered)
        }
        if self._failed:
            row, reason = min(self._failed.items())
            asked = len({instance.doc["row"] for instance in self.instances})
            _log.warning(
                "task %s: %d of %d rows have no answer and are left out of its scores; `%s` counts them. Row %d: %s",
                self.config.task, len(self._failed), asked, FAILED, row, reason,
            )  # fmt: skip
        return super().apply_filters()

    def process_results(self, doc: dict[str, Any], results: list[Any]) -> dict[str, Any]:
        """Scores of one row: the YAML's own `process_results(row, responses)`. A row without an answer has none, so that no mean takes it
        for a wrong one, and is counted by the metric `failed`."""
        count = {FAILED: int(doc["row"] in self._failed)} if self._failed else {}
        if doc["row"] in self._failed:
            return count
        if "bypass" in self._aggregation_list:  # --predict_only
            return {"bypass": None, **count}
        scores: dict[str, Any] = self.config.process_results(row_of(doc), list(results))
        return {name: score for name, score in scores.items() if score is not None} | count

    def aggregation(self) -> dict[str, Any]:
        return {**super().aggregation(), FAILED: sum}

    def higher_is_better(self) -> dict[str, bool]:
        return {**super().higher_is_better(), **({FAILED: False} if self._failed else {})}


def row_of(doc: Mapping[str, Any]) -> Row:
    """The row behind an lm-eval doc."""
    details = doc["details"]
    content = {name: value for name, value in doc.items() if name != "row_sha256"}
    return row_from_doc({**content, "details": json.loads(details) if isinstance(details, str) else details})
