"""Semantic Kernel: its agents over chat completions and over responses, with a plugin."""

import asyncio
from typing import Any

from cases import AFTER_TOOL, ANSWER, KEEPER, tried
from openai import AsyncOpenAI
from semantic_kernel.agents import ChatCompletionAgent, OpenAIResponsesAgent
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
from semantic_kernel.functions import kernel_function

loop = asyncio.new_event_loop()  # One loop, because the client keeps its connections.
openai = AsyncOpenAI()


class Weather:
    @kernel_function(description="The weather in a city")  # type: ignore[untyped-decorator]
    def find_weather(self, city: str) -> str:
        return f"sunny in {city}"


def chat(**options: Any) -> ChatCompletionAgent:  # noqa: ANN401 - of the program
    service = OpenAIChatCompletion(ai_model_id="leadline", async_client=openai)
    return ChatCompletionAgent(service=service, name="a", **options)


def responses(**options: Any) -> OpenAIResponsesAgent:  # noqa: ANN401 - of the program
    return OpenAIResponsesAgent(ai_model_id="leadline", client=openai, name="a", **options)


def ask(agent: ChatCompletionAgent | OpenAIResponsesAgent) -> object:
    return loop.run_until_complete(agent.get_response(messages=KEEPER))


for name, build in (("chat", chat), ("responses", responses)):
    tried(f"{name}: an agent", ANSWER, lambda build=build: ask(build()))
    tried(f"{name}: an agent with a plugin", AFTER_TOOL, lambda build=build: ask(build(plugins=[Weather()])))
