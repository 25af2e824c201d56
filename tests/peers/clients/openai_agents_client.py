"""OpenAI's Agents SDK: agents over responses and over chat completions, with tools, sessions and conversations."""

import asyncio
from typing import Any

from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIConversationsSession,
    Runner,
    SQLiteSession,
    function_tool,
    set_tracing_disabled,
)
from cases import AFTER_TOOL, ANSWER, FOLLOW_UP, FORMED, KEEPER, SECOND, tried
from openai import AsyncOpenAI
from pydantic import BaseModel

set_tracing_disabled(True)
loop = asyncio.new_event_loop()  # One loop, because the client keeps its connections.
openai = AsyncOpenAI()


class Keeper(BaseModel):
    name: str


@function_tool  # type: ignore[untyped-decorator]
def weather(city: str) -> str:
    """Return the weather in a city."""
    return f"sunny in {city}"


def run(agent: Agent, *questions: str, **options: Any) -> object:  # noqa: ANN401 - of the program
    for question in questions or (KEEPER,):
        result = loop.run_until_complete(Runner.run(agent, question, **options))
    return result.final_output


chat = OpenAIChatCompletionsModel(model="leadline", openai_client=openai)
for name, model in (("responses", "leadline"), ("chat", chat)):
    plain, with_tool = Agent(name="a", model=model), Agent(name="b", model=model, tools=[weather])
    formed = Agent(name="c", model=model, tools=[weather], output_type=Keeper)
    tried(f"{name}: run", ANSWER, lambda agent=plain: run(agent))
    tried(f"{name}: a session", SECOND, lambda agent=plain: run(agent, KEEPER, FOLLOW_UP, session=SQLiteSession("s")))
    tried(f"{name}: a tool", AFTER_TOOL, lambda agent=with_tool: run(agent))
    tried(f"{name}: a tool and output_type", FORMED, lambda agent=formed: run(agent))
agent = Agent(name="d", model="leadline", tools=[weather])
tried("previous_response_id with a tool", AFTER_TOOL, lambda: run(agent, auto_previous_response_id=True))
tried(
    "a conversation with a tool",
    AFTER_TOOL,
    lambda: run(agent, session=OpenAIConversationsSession(openai_client=openai)),
)
