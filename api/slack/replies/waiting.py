"""Runs that have reached their limits: the message that asks how to continue, and the decisions made with buttons."""

import time
from collections.abc import Callable, Sequence

import structlog

from api.admission.services import Services
from api.answers.rendering import escape_mrkdwn
from api.runs.control import finish_with_partial_result, raise_budget
from api.slack.replies.live import LiveProgress
from api.slack.replies.messages import (
    SECTION_CHARS,
    Blocks,
    SlackMessage,
    build_button,
    build_context_block,
    build_question_line,
    build_section_block,
)
from api.slack.replies.reply import Reply
from ingest.storage.answers.run_records import Run, RunState
from ingest.storage.counts import format_count
from ingest.storage.errors import LeadlineError, RunNotFoundError, RunStateError
from ingest.storage.instrumentation import reach_fault_point
from ingest.storage.quotas.records import NANODOLLARS
from ingest.storage.slack.records import SlackQuestion
from rlm.estimates import format_limits
from rlm.llm.budgets import Limits
from rlm.runs.bodies import parse_limits

log = structlog.get_logger(__name__)

GO_ON, FINISH, STOP = "leadline_go_on", "leadline_finish", "leadline_stop"
DECISIONS = (GO_ON, FINISH, STOP)
_LIMITS = {"seconds": "time", "calls": "calls of the language model", "dollars": "money"}
_NOT_YOURS = "Only those who may ask here decide that."
_GONE = "That work is not kept any more. Ask again."
_ENDED = "That work has ended by now."
_ALREADY_DECIDED = "Somebody has decided that already."


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
        question_id, run, progress.done_titles, until, question=None if asked.thread_ts else asked.text
    )
    await reply.finish_reply([message], at_end=progress.exceeded_stream_duration(progress.paused_at))
    await progress.end_session()


def build_waiting_message(
    question_id: str, run: Run, done_steps: Sequence[str], deadline: float, *, question: str | None = None
) -> SlackMessage:
    """Build the message that asks how to continue, with the completed steps, the usage, and the effect of each button.

    Without a decision, the run ends at the Unix time `deadline`. Pass the question as `question` if no message above
    shows it.
    """
    met = _LIMITS.get(str((run.progress or {}).get("resource")), "tokens")
    minutes = int(run.seconds / 60)
    duration = format_count(minutes, "minute") if minutes else "less than a minute"
    used = [duration, f"{format_count(run.spent.calls, 'call')} of the language model"]
    if run.spent.nanodollars:
        used.append(f"${run.spent.nanodollars / NANODOLLARS:.2f}")
    steps = [f"• {escape_mrkdwn(title)}" for title in done_steps]
    text = f"*There is no answer yet, and the limit of {met} is met.*\nUsed so far: {', '.join(used)}."
    more = format_limits(compute_extra_limits(run))
    cost = " It may cost as much again." if run.spent.nanodollars else ""
    blocks: Blocks = [build_question_line(question)] if question is not None else []
    blocks.append(build_section_block("\n".join([text, *steps])[:SECTION_CHARS]))
    blocks.append(build_context_block(f"“Go on” allows as much again: {more[:1].lower()}{more[1:]}{cost}"))
    blocks.append(
        build_context_block(
            f"If nobody decides until {_format_reader_time(deadline)}, you get an answer from what there is."
        )
    )
    value = f"{question_id}:{len(run.raised)}"
    buttons = [
        build_button("Go on", GO_ON, value, style="primary"),
        build_button("Answer with what it has", FINISH, value),
        build_button("Stop", STOP, value),
    ]
    return SlackMessage(
        [*blocks, {"type": "actions", "elements": buttons}], f"No answer yet after {duration}: shall I go on?"
    )


def _format_reader_time(timestamp: float) -> str:
    """Format a Unix time so that Slack shows it in each reader's time zone."""
    plain = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(timestamp))
    return f"<!date^{int(timestamp)}^{{date_long_pretty}}, {{time}}|{plain}>"


class Decisions:
    """Carries out the decisions that users make with buttons. Calls `wake` when a question can continue."""

    def __init__(self, services: Services, wake: Callable[[], None]) -> None:
        self._served = services
        self._wake = wake

    def apply_decision(self, action: str, question: SlackQuestion | None, raise_count: int, user_id: str) -> str | None:
        """Carry out a decision. If it has no effect, return a message for the user who pressed the button.

        `raise_count` is the number of times the run's budget had been raised when the button was shown, so that each
        button works only once.
        """
        if question is None or question.run_id is None:
            return _GONE
        # guard: slack-decision-permission
        if not question.settings.can_ask(user_id):
            return _NOT_YOURS
        try:
            run = self._served.answers.runs.load_run(question.asked.tenant_id, question.run_id)
            # guard: slack-button-of-this-pause
            if run.state is not RunState.PAUSED or len(run.raised) != raise_count:
                return _ENDED if run.has_ended else _ALREADY_DECIDED
            self._apply_action(action, run)
        except RunNotFoundError:
            return _GONE
        except RunStateError:  # Another user has just decided about this run.
            return _ALREADY_DECIDED
        except LeadlineError as error:
            return escape_mrkdwn(" ".join(error.public_message).strip())
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
