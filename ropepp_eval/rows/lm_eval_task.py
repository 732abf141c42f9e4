"""The one lm-eval task class that all our tasks share: rows in, requests out, the budget checked in one place."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask

from ropepp_eval.rows.requests import requests_of
from ropepp_eval.rows.row import Row, row_from_doc

_log = logging.getLogger(__name__)


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
        super().__init__(config=config)

    def download(self, dataset_kwargs: dict[str, Any] | None = None, **_: Any) -> None:
        """Build the rows (or read the frozen ones) that the metadata asks for."""
        import datasets

        from ropepp_eval.rows.building import frozen_rows, request_from_metadata

        request = request_from_metadata(self.base_name, self.config.metadata)
        self.rows = frozen_rows(request, self.config.custom_dataset)
        if any(row.stand_in for row in self.rows):  # lm-eval's own tables have no column that would say it
            _log.warning(
                "task %s: generated text stands in for the real corpus, so its scores compare with nothing else; "
                "name a data folder with --metadata '{\"data_dir\": ...}'",
                self.base_name,
            )
        docs = [row.as_doc() for row in self.rows]
        for doc in docs:  # Arrow wants one schema for all rows; details differ from row to row
            doc["details"] = json.dumps(doc["details"], ensure_ascii=False)
        self.dataset = {self.config.test_split: datasets.Dataset.from_list(docs)}

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

    def process_results(self, doc: dict[str, Any], results: list[Any]) -> dict[str, Any]:
        """Scores of one row: the YAML's own `process_results(row, responses)`."""
        scores: dict[str, Any] = self.config.process_results(row_of(doc), list(results))
        return scores


def row_of(doc: Mapping[str, Any]) -> Row:
    """The row behind an lm-eval doc."""
    details = doc["details"]
    return row_from_doc({**doc, "details": json.loads(details) if isinstance(details, str) else details})
