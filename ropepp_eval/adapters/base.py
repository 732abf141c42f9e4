"""What both engines share: lm-eval's calls, requests to spans of token ids, scores and texts to answers with their ledger."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from ropepp_eval.adapters.answers import Answer, Window
from ropepp_eval.adapters.encoding import Encoder, Job
from ropepp_eval.adapters.ledger import Generated, SpanScore, failed, generated, scored
from ropepp_eval.adapters.lm_eval_cache import claim
from ropepp_eval.adapters.settings import Settings
from ropepp_eval.checkpoints.inspection import CheckpointInfo
from ropepp_eval.errors import UserError
from ropepp_eval.rows.requests import RowInstance, Unanswered
from ropepp_eval.tokens.ids import Tokenizer

NO_CHAT_TEMPLATE = (
    "--apply_chat_template: the models ropepp and ropepp-vllm take prompts as they are; our own tasks are asked in chat with "
    "--model_args prompt_format=chat; leave it out, or run chat models on other tasks with --model hf"
)


class RowAdapter(LM):  # type: ignore[misc]
    """An lm-eval model that answers requests one by one, as they are done. Engines say how scores and texts are computed."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        settings: Settings,
        *,
        name: str,
        checkpoint: CheckpointInfo | None,
        trained_tokens: int,
        vocabulary: int,
        end_ids: frozenset[int],
    ) -> None:
        """Set up what needs no engine.

        Args:
            tokenizer: what every text becomes ids with.
            name: folder or hub id of the checkpoint; empty for a model that came as an object.
            checkpoint: what was loaded; None for such a model.
            trained_tokens: positions the model was made for; `settings.max_length` overrides them.
            vocabulary: rows of the embedding; ids beyond it make a request fail.
            end_ids: tokens that end a generation.
        """
        super().__init__()
        self.tokenizer = tokenizer.fast
        self.settings = settings
        self.name, self.checkpoint = name, checkpoint
        self.end_ids = end_ids | (tokenizer.chat.end_ids if tokenizer.chat else frozenset())
        self.batch_size = settings.batch_size
        self.events: list[str] = []
        """What happened on the way that the user should know, such as batches halved for want of memory."""
        self._max_length = settings.max_length or trained_tokens
        self.prefix_token_id = tokenizer.rules.prefix
        self.encoder = Encoder(
            tokenizer,
            max_length=self._max_length,
            vocabulary=vocabulary,
            truncate=settings.truncate,
            max_gen_toks=settings.max_gen_toks,
        )

    # an engine's part

    @abstractmethod
    def _scores(self, jobs: Sequence[Job]) -> Iterator[SpanScore]:
        """The scores of all spans of the jobs, as they are made, in any order."""

    @abstractmethod
    def _generations(self, jobs: Sequence[Job]) -> Iterator[Generated]:
        """The greedy continuations of the jobs, as they are made, in any order."""

    @abstractmethod
    def plan(self, requests: list[Instance]) -> Any:
        """What `answers(requests)` will do, without doing it; its `lines()` are for people."""

    @abstractmethod
    def get_model_info(self) -> dict[str, Any]:
        """What ran: for lm-eval's results and for `run.json`."""

    # lm-eval's calls

    @property
    def max_length(self) -> int:
        """Positions the model may use: tokens that enter it, so one token more may be predicted."""
        return self._max_length

    @property
    def tokenizer_name(self) -> str:
        """Name of the tokenizer, for lm-eval's request cache."""
        return str(getattr(self.tokenizer, "name_or_path", "")).replace("/", "__")

    @property
    def eot_token_id(self) -> int | None:
        """The tokenizer's EOS."""
        eos: int | None = self.tokenizer.eos_token_id
        return eos

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """(log-likelihood, is_greedy) of each continuation; see `_responses` for requests that have no answer."""
        return self._responses(requests, disable_tqdm)

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Log-likelihood of each whole text; see `_responses`."""
        return self._responses(requests, disable_tqdm)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Greedy continuation of each prompt up to its first stop text; see `_responses`."""
        return self._responses(requests, disable_tqdm)

    def sliding_window(self, requests: list[Instance], disable_tqdm: bool = False) -> list[list[Window]]:
        """Windows of each text; lm-eval calls the method that a request's type names. See `_responses`."""
        return self._responses(requests, disable_tqdm)

    def rolling_window(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """As `loglikelihood_rolling`, through windows of the request's own length."""
        return self._responses(requests, disable_tqdm)

    def whole_text(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """(log-likelihood, is_greedy) of each text from its second token on. See `_responses`."""
        return self._responses(requests, disable_tqdm)

    # lm-eval's switches

    def set_cache_hook(self, cache_hook: Any) -> None:
        """Take lm-eval's cache of responses (`--use_cache`) where it is empty or holds answers made as this adapter makes them.

        Raises:
            UserError: it holds others. lm-eval keys a response by its request alone, so two checkpoints would get the same scores.
        """
        if getattr(cache_hook, "dbdict", None) is not None:
            claim(cache_hook.dbdict, self.get_model_info(), self.encoder.tokenizer, self.settings)
        super().set_cache_hook(cache_hook)

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """Raises UserError: prompts are taken as they are."""
        raise UserError(NO_CHAT_TEMPLATE)

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Raises UserError, as `chat_template`."""
        raise UserError(NO_CHAT_TEMPLATE)

    def _responses(self, requests: list[Instance], disable_tqdm: bool) -> list[Any]:
        """lm-eval's responses. A row of ours that fails has `Unanswered` for one; any other request that fails ends the call, what can't
        be asked before anything is computed.

        Raises:
            UserError: a request of another task has no answer.
        """
        from tqdm import tqdm  # type: ignore[import-untyped]

        responses: list[Any] = [None] * len(requests)
        with tqdm(total=len(requests), disable=disable_tqdm, desc="ropepp") as bar:
            for index, answer in self.answers(requests):
                request = requests[index]
                if answer.error is not None:
                    if not isinstance(request, RowInstance):
                        where = (
                            f"{request.task_name}, document {request.doc_id}" if request.task_name else f"request {index}"
                        )
                        raise UserError(f"{where} ({request.request_type}): {answer.error.message}")
                    responses[index] = Unanswered(answer.error.message)
                else:
                    responses[index] = answer.response
                    self.cache_hook.add_partial(request.request_type, request.args, answer.response)
                bar.update()
        return responses

    # ours

    def answers(self, requests: list[Instance]) -> Iterator[tuple[int, Answer]]:
        """(number of the request, answer), as answers are made. A request that fails has `error` set; the others go on.

        Raises:
            UserError: a request type or generation setting is not known, or the engine is gone.
        """
        for job, answer in self._answers(self.encoder.jobs(requests)):
            yield job.index, answer

    def _answers(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Answer]]:
        for job in jobs:
            if job.error is not None:
                yield job, failed(job, job.error)
            elif job.kind != "generate_until" and not job.spans:
                yield job, scored(job, [])
        scoring = [job for job in jobs if job.spans]
        if scoring:
            yield from self._scored(scoring)
        generating = [job for job in jobs if job.kind == "generate_until" and job.error is None]
        for done in self._generations(generating) if generating else ():
            yield done.job, generated(done)

    def _scored(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Answer]]:
        by_index = {job.index: job for job in jobs}
        waiting: dict[int, dict[int, SpanScore]] = {}
        for score in self._scores(jobs):
            index, number = score.owner
            job, have = by_index[index], waiting.setdefault(index, {})
            have[number] = score
            if len(have) == len(job.spans):
                yield job, scored(job, [have[i] for i in range(len(have))])
                del waiting[index]

    def _checkpoint_info(self) -> dict[str, Any]:
        """Which checkpoint this is, so that lm-eval's results tell it from others; nothing for a model without a folder."""
        if self.checkpoint is None:
            return {}
        return {"checkpoint": {"name": self.checkpoint.name, **self.checkpoint.facts}}


def tokenizer_of(named: str | Tokenizer, settings: Settings) -> Tokenizer:
    """A tokenizer that the plan loaded, as it is, so that what counted the rows also sends them; else the one of a folder or hub id.

    Raises:
        UserError: there is none.
    """
    from ropepp_eval.tokens.tokenizer import load_tokenizer

    return named if isinstance(named, Tokenizer) else load_tokenizer(str(named), **settings.tokenizer_rules)
