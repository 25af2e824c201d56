"""LangChain's ChatOpenAI, with OpenAI's file search as its tool."""

import io
import json
import os
from typing import Any

from cases import AFTER_TOOL, ANSWER, FORMED, KEEPER, tried
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from openai import OpenAI
from pydantic import BaseModel

METHODS = ("json_schema", "function_calling", "json_mode")

chat = ChatOpenAI(model="leadline")  # address and key are in the environment
responses = ChatOpenAI(model="leadline", use_responses_api=True, include=["file_search_call.results"])
openai = OpenAI(base_url=os.environ["OPENAI_BASE_URL"])


class Keeper(BaseModel):
    name: str


def weather(city: str) -> str:
    """Return the weather in a city."""
    return f"sunny in {city}"


def formed(model: ChatOpenAI, method: Any) -> object:  # noqa: ANN401 - of the program
    schema = f"Reply in JSON by this schema: {json.dumps(Keeper.model_json_schema())}"
    return model.with_structured_output(Keeper, method=method).invoke([("system", schema), ("user", KEEPER)])


def run_agent(model: ChatOpenAI, **options: Any) -> Any:  # noqa: ANN401 - of the program
    return create_agent(model, [weather], **options).invoke({"messages": [("user", KEEPER)]})


def store() -> str:
    made = openai.vector_stores.create(name="from a program")
    file = io.BytesIO(b"# Harbour\n\nThe keeper of the lighthouse was Ada Brandt, as the log says.\n")
    openai.vector_stores.files.upload_and_poll(vector_store_id=made.id, file=("log.md", file))
    return made.id


def searched() -> Any:  # noqa: ANN401 - of the program
    tool = {"type": "file_search", "vector_store_ids": [store()]}
    return responses.bind_tools([tool]).invoke(KEEPER)


def cited(message: Any) -> str:  # noqa: ANN401 - of the program
    (block,) = [each for each in message.content_blocks if each["type"] == "text"]
    titles = [each.get("title") for each in block["annotations"] if each["type"] == "citation"]
    return f"{block['text']} {titles[0]}"


tried("invoke", ANSWER, lambda: chat.invoke(KEEPER).text)
tried("stream", ANSWER, lambda: "".join(each.text for each in chat.stream(KEEPER)))
tried("responses", ANSWER, lambda: responses.invoke(KEEPER).text)
tried("responses, streamed", ANSWER, lambda: "".join(each.text for each in responses.stream(KEEPER)))
tried("file_search as a bound tool", f"{ANSWER} log.md", lambda: cited(searched()))
for name, model in (("chat", chat), ("responses", responses)):
    for method in METHODS:
        tried(
            f"{name}: with_structured_output, {method}",
            FORMED,
            lambda model=model, method=method: formed(model, method),
        )
    tried(f"{name}: create_agent", AFTER_TOOL, lambda model=model: run_agent(model)["messages"][-1].text)
    tried(
        f"{name}: create_agent with tools and response_format",
        FORMED,
        lambda model=model: run_agent(model, response_format=Keeper)["structured_response"],
    )
