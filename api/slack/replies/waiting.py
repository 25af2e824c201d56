"""Runs that have reached their limits: the message that asks how to continue, and the decisions made with buttons."""

import time
from collections.abc import Callable, Iterator, Sequence

import structlog

from api.admission.services import Services
from api.answers.mrkdwn import escape_mrkdwn
from api.languages.catalogue import Texts
from api.runs.control import finish_with_partial_result, raise_budget
from api.slack.numbers import format_number
from api.slack.replies.blocks import (
    SECTION_CHARS,
    Blocks,
    SlackMessage,
    build_button,
    build_context_block,
    build_section_block,
)
from api.slack.replies.failures import describe_error
from api.slack.replies.live import LiveProgress
from api.slack.replies.messages import build_question_line
from api.slack.replies.reply import Reply
from ingest.storage.answers.run_records import Run, RunState
from ingest.storage.errors import LeadlineError, RunNotFoundError, RunStateError
from ingest.storage.instrumentation import reach_fault_point
from ingest.storage.quotas.records import NANODOLLARS
from ingest.storage.slack.records import SlackQuestion
from rlm.llm.budgets import Limits
from rlm.runs.bodies import parse_limits

log = structlog.get_logger(__name__)

GO_ON, FINISH, STOP = "leadline_go_on", "leadline_finish", "leadline_stop"
DECISIONS = (GO_ON, FINISH, STOP)
_SHORT_SECONDS = 90.0  # Shorter times are given in seconds.
# Describes in a language why a decision has no effect.
Obstacle = Callable[[Texts], str]


def compute_extra_limits(run: Run) -> Limits:
    """Compute the amounts that "Go on" adds to the run's budget: each original limit once more."""
    allowed = {name: value for name, value in vars(parse_limits(run.limits)).items() if value and name != "depth"}
    return Limits(**allowed)


async def ask_for_decision(progress: LiveProgress, reply: Reply, run: Run, *, wait_days: float) -> None:
    """Replace the progress in the thread with a message that asks how to continue. Raises `SlackError`."""
    await progress.end_stream()
    asked, question_id = reply.question.asked, reply.question.id
    until = progress.paused_at + wait_days * 24 * 3600.0
    message = build_waiting_message(
        question_id, run, progress.done_titles, until, reply.texts, question=None if asked.thread_ts else asked.text
    )
    await reply.finish_reply([message], at_end=progress.exceeded_stream_duration(progress.paused_at))
    await progress.end_session()


def build_waiting_message(
    question_id: str,
    run: Run,
    done_steps: Sequence[str],
    deadline: float,
    texts: Texts,
    *,
    question: str | None = None,
) -> SlackMessage:
    """Build the message that asks how to continue, with the completed steps, the usage, and the effect of each button.

    Without a decision, the run ends at the Unix time `deadline`. Pass the question as `question` if no message above
    shows it.
    """
    minutes = int(run.seconds / 60)
    duration = (
        texts.translate_count(minutes, "{n} minute", "{n} minutes")
        if minutes
        else texts.translate("less than a minute")
    )
    used = [duration, _format_calls(run.spent.calls, texts)]
    if run.spent.nanodollars:
        used.append(f"${run.spent.nanodollars / NANODOLLARS:.2f}")
    lines = [
        f"*{_describe_reached_limit(run, texts)}*",
        texts.translate("Used so far: {used}.", used=", ".join(used)),
        *(f"• {escape_mrkdwn(title)}" for title in done_steps),
    ]
    more = ", ".join(_format_limits(compute_extra_limits(run), texts))
    effect = texts.translate("“Continue” allows at most this much more: {limits}.", limits=more)
    when = texts.translate(
        "If nobody decides before {time}, I answer with the results so far.", time=_format_reader_time(deadline)
    )
    blocks: Blocks = [build_question_line(question, texts)] if question is not None else []
    blocks += [
        build_section_block("\n".join(lines)[:SECTION_CHARS]),
        build_context_block(effect),
        build_context_block(when),
    ]
    value = f"{question_id}:{len(run.raised)}"
    buttons = [
        build_button(texts.translate("Continue"), GO_ON, value, style="primary"),
        build_button(texts.translate("Answer with the results so far"), FINISH, value),
        build_button(texts.translate("Stop"), STOP, value),
    ]
    plain = texts.translate("A limit was reached, and there is no answer yet. How should I continue?")
    return SlackMessage([*blocks, {"type": "actions", "elements": buttons}], plain)


def _describe_reached_limit(run: Run, texts: Texts) -> str:
    match (run.progress or {}).get("resource"):
        case "seconds":
            return texts.translate("The time limit was reached, and there is no answer yet.")
        case "calls":
            return texts.translate("The limit of calls to the language model was reached, and there is no answer yet.")
        case "dollars":
            return texts.translate("The cost limit was reached, and there is no answer yet.")
    return texts.translate("The token limit was reached, and there is no answer yet.")


def _format_limits(limits: Limits, texts: Texts) -> Iterator[str]:
    """Yield each spending limit in words."""
    if limits.calls is not None:
        yield _format_calls(limits.calls, texts)
    for count, kind in (
        (limits.prompt_tokens, "prompt"),
        (limits.completion_tokens, "completion"),
        (limits.tokens, "all"),
    ):
        if count is not None:
            yield _format_tokens(count, kind, texts)
    if limits.seconds is not None:
        minutes, seconds = round(limits.seconds / 60), max(1, round(limits.seconds))
        yield (
            texts.translate_count(minutes, "{n} minute", "{n} minutes", n=format_number(minutes, texts))
            if limits.seconds >= _SHORT_SECONDS
            else texts.translate_count(seconds, "{n} second", "{n} seconds")
        )
    if limits.dollars is not None:
        yield f"${limits.dollars:.{2 if limits.dollars >= 1 else 4}f}"


def _format_calls(count: int, texts: Texts) -> str:
    return texts.translate_count(
        count, "{n} call to the language model", "{n} calls to the language model", n=format_number(count, texts)
    )


def _format_tokens(count: int, kind: str, texts: Texts) -> str:
    number = format_number(count, texts)
    match kind:
        case "prompt":
            return texts.translate_count(count, "{n} token to read", "{n} tokens to read", n=number)
        case "completion":
            return texts.translate_count(count, "{n} token to write", "{n} tokens to write", n=number)
    return texts.translate_count(count, "{n} token", "{n} tokens", n=number)


def _format_reader_time(timestamp: float) -> str:
    """Format a Unix time so that Slack shows it in each reader's time zone."""
    plain = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(timestamp))
    return f"<!date^{int(timestamp)}^{{date_long_pretty}}, {{time}}|{plain}>"


class Decisions:
    """Carries out the decisions that users make with buttons. Calls `wake` when a question can continue."""

    def __init__(self, services: Services, wake: Callable[[], None]) -> None:
        self._served = services
        self._wake = wake

    def apply_decision(
        self, action: str, question: SlackQuestion | None, raise_count: int, user_id: str
    ) -> Obstacle | None:
        """Carry out a decision. If it has no effect, return the reason, for the user who pressed the button.

        `raise_count` is the number of times the run's budget had been raised when the button was shown, so that each
        button works only once.
        """
        if question is None or question.run_id is None:
            return _describe_missing_run
        # guard: slack-decision-permission
        if not question.settings.can_ask(user_id):
            return _describe_missing_permission
        try:
            run = self._served.answers.runs.load_run(question.asked.tenant_id, question.run_id)
            # guard: slack-button-of-this-pause
            if run.state is not RunState.PAUSED or len(run.raised) != raise_count:
                return _describe_ended_run if run.has_ended else _describe_earlier_decision
            self._apply_action(action, run)
        except RunNotFoundError:
            return _describe_missing_run
        except RunStateError:  # Another user has just decided about this run.
            return _describe_earlier_decision
        except LeadlineError as error:
            failed = error
            return lambda texts: escape_mrkdwn(" ".join(describe_error(failed, texts)).strip())
        log.info("decision carried out", action=action, question=question.id, run=run.id, user=user_id)
        reach_fault_point("slack.decided")
        self._wake()
        return None

    def _apply_action(self, action: str, run: Run) -> None:
        if action == GO_ON:
            raise_budget(self._served, run, compute_extra_limits(run))
        elif action == FINISH:
            finish_with_partial_result(self._served, run)
        else:
            self._served.answers.runs.cancel(run.tenant_id, run.id)


def _describe_missing_run(texts: Texts) -> str:
    return texts.translate("This question can no longer be continued. Ask it again.")


def _describe_missing_permission(texts: Texts) -> str:
    return texts.translate("Only people who may ask questions in this channel can decide that.")


def _describe_ended_run(texts: Texts) -> str:
    return texts.translate("This question has already ended.")


def _describe_earlier_decision(texts: Texts) -> str:
    return texts.translate("Somebody else has already decided that.")
