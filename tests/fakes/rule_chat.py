"""A chat model that judges numbered records by a rule, for tests that go through the real scheduler."""

import json
import re
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

from tests.support.labelled_records import label_of

_RECORD = re.compile(r"^(\d+)\. (.*)$", re.MULTILINE)


class RuleChat(BaseChatModel):
    """Sorts each record as `label_of` does; `prompts` are kept. A call counts 100 tokens read and 10 written."""

    prompts: list[str] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "rules"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401 - the signature of the class that is extended
    ) -> ChatResult:
        prompt = str(messages[-1].content)
        self.prompts.append(prompt)
        records = prompt[prompt.index("BEGIN records") : prompt.index("END records")]
        said = json.dumps({number: label_of(text) for number, text in _RECORD.findall(records)})
        usage = UsageMetadata(input_tokens=100, output_tokens=10, total_tokens=110)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(said, usage_metadata=usage))])
