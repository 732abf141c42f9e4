"""The one lm-eval task class that all our tasks share: rows in, requests out, the budget checked in one place."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
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
        self._asked = 1  # lm-eval's constructor looks at one row
        super().__init__(config=config)
        self._asked = self._request.samples

    def download(self, dataset_kwargs: dict[str, Any] | None = None, **_: Any) -> None:
        """Read what the metadata asks for; rows are built (or the frozen ones read) when it is known how many are wanted."""
        from ropepp_eval.rows.building import request_from_metadata

        self._request = request_from_metadata(self.base_name, self.config.metadata)
        self._built, self._warned = 0, False

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
        docs = [row.as_doc() for row in self.rows]
        for doc in docs:  # Arrow wants one schema for all rows; details differ from row to row
            doc["details"] = json.dumps(doc["details"], ensure_ascii=False)
        return datasets.Dataset.from_list(docs)

    def build_all_requests(
        self, *, limit: int | None = None, samples: list[int] | None = None, cache_requests: bool = False, **more: Any
    ) -> None:
        """lm-eval's `--limit` and `--samples` build only those rows; its cache of requests keeps all of them, so there all are built."""
        if samples:
            self._asked = max(samples) + 1
        elif limit and not cache_requests:
            self._asked = min(limit, self._request.samples)
        super().build_all_requests(limit=limit, samples=samples, cache_requests=cache_requests, **more)

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
