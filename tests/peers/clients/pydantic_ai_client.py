"""pydantic-ai: agents over chat completions and over responses."""

import asyncio
import os

from cases import ANSWER, FOLLOW_UP, KEEPER, SECOND, tried
from pydantic import BaseModel
from pydantic_ai import Agent
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


def structured(agent: Agent) -> object:
    return agent.run_sync(KEEPER, output_type=Keeper).output


for name, agent in (("chat", chat), ("responses", responses)):
    tried(f"{name}: run_sync", ANSWER, lambda agent=agent: agent.run_sync(KEEPER).output)
    tried(f"{name}: run_stream", ANSWER, lambda agent=agent: asyncio.run(streamed(agent)))
    tried(f"{name}: message_history", SECOND, lambda agent=agent: follow_up(agent))
    tried(f"{name}: a structured output", "refused: does not call client tools", lambda agent=agent: structured(agent))
