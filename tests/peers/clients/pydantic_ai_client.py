"""pydantic-ai: agents over chat completions and over responses."""

import asyncio
import os

from cases import AFTER_TOOL, ANSWER, FOLLOW_UP, FORMED, KEEPER, SECOND, tried
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, PromptedOutput, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

provider = OpenAIProvider(base_url=os.environ["OPENAI_BASE_URL"], api_key=os.environ["OPENAI_API_KEY"])
chat = Agent(OpenAIChatModel("leadline", provider=provider))
responses = Agent(OpenAIResponsesModel("leadline", provider=provider))


class Keeper(BaseModel):
    name: str


async def streamed(agent: Agent) -> object:
    async with agent.run_stream(KEEPER) as run:
        return await run.get_output()


def follow_up(agent: Agent) -> object:
    first = agent.run_sync(KEEPER)
    return agent.run_sync(FOLLOW_UP, message_history=first.all_messages()).output


def weather(city: str) -> str:
    """Return the weather in a city."""
    return f"sunny in {city}"


for name, agent in (("chat", chat), ("responses", responses)):
    tried(f"{name}: run_sync", ANSWER, lambda agent=agent: agent.run_sync(KEEPER).output)
    tried(f"{name}: run_stream", ANSWER, lambda agent=agent: asyncio.run(streamed(agent)))
    tried(f"{name}: message_history", SECOND, lambda agent=agent: follow_up(agent))
    for kind in (ToolOutput, NativeOutput, PromptedOutput):
        tried(
            f"{name}: {kind.__name__}",
            FORMED,
            lambda agent=agent, kind=kind: agent.run_sync(KEEPER, output_type=kind(Keeper)).output,
        )
    with_tool = Agent(agent.model, tools=[weather])
    tried(f"{name}: a tool", AFTER_TOOL, lambda agent=with_tool: agent.run_sync(KEEPER).output)
    tried(
        f"{name}: a tool and an output",
        FORMED,
        lambda agent=with_tool: agent.run_sync(KEEPER, output_type=Keeper).output,
    )
