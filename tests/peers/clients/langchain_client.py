"""LangChain's ChatOpenAI, with OpenAI's file search as its tool."""

import io
import os
from typing import Any

from cases import ANSWER, KEEPER, tried
from langchain_openai import ChatOpenAI
from openai import OpenAI

chat = ChatOpenAI(model="leadline")  # address and key are in the environment
responses = ChatOpenAI(model="leadline", use_responses_api=True, include=["file_search_call.results"])
openai = OpenAI(base_url=os.environ["OPENAI_BASE_URL"])


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
tried(
    "with_structured_output",
    "refused: structured output is not supported",
    lambda: chat.with_structured_output(
        {"title": "keeper", "type": "object", "properties": {"name": {"type": "string"}}}
    ).invoke(KEEPER),
)
