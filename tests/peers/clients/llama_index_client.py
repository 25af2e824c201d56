"""LlamaIndex's OpenAILike: chat, streams and completions."""

import asyncio
import os
from typing import Any

from cases import ANSWER, FOLLOW_UP, KEEPER, SECOND, tried
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike

# `is_chat_model` is what its documentation says for servers with /v1/chat/completions.
llm = OpenAILike(
    model="leadline",
    api_base=os.environ["OPENAI_BASE_URL"],
    api_key=os.environ["OPENAI_API_KEY"],
    is_chat_model=True,
    context_window=32_000,
)
question = [ChatMessage(role="user", content=KEEPER)]
turns = [*question, ChatMessage(role="assistant", content=ANSWER), ChatMessage(role="user", content=FOLLOW_UP)]


def annotations() -> Any:  # noqa: ANN401 - of the program
    raw = llm.chat(question).raw
    return raw.choices[0].message.annotations[0].url_citation.title


tried("chat", ANSWER, lambda: llm.chat(question).message.content)
tried("complete", ANSWER, lambda: llm.complete(KEEPER).text)
tried("stream_chat", ANSWER, lambda: "".join(each.delta or "" for each in llm.stream_chat(question)))
tried("a conversation", SECOND, lambda: llm.chat(turns).message.content)
tried("achat", ANSWER, lambda: asyncio.run(llm.achat(question)).message.content)
tried("citations in raw", "Harbour", annotations)
