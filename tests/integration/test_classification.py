"""Records sorted by the real local model, through the scheduler, with the real encoder beside it."""

import pytest

from rlm.budgets import Budget, Limits
from rlm.chat_models import local_chat_model
from rlm.openvino_llm.process import LocalModelProcess
from rlm.profiles import LOCAL_QWEN
from rlm.subcalls.scheduler import SubCallScheduler
from tests.eval.classification.__main__ import accuracy, labelled

pytestmark = pytest.mark.slow


def test_a_small_model_and_the_encoder_together_sort_messages_that_neither_was_tuned_on(
    local_model: LocalModelProcess, encoder_files: object
) -> None:
    scheduler = SubCallScheduler()
    chat = local_chat_model(local_model.socket, LOCAL_QWEN)
    calls = scheduler.bind(chat, LOCAL_QWEN, tenant_id="eval", budget=Budget(Limits()))
    right, count, usage = accuracy(labelled("messages", 30), calls, encoder=True)
    scheduler.close()
    chat.close()
    assert usage.calls == 6
    assert right / count >= 0.65  # the model's first reading alone: 0.43
