"""instructor: classes from answers, in the modes for OpenAI's protocols."""

import instructor
from cases import FORMED, KEEPER, tried
from instructor import Mode
from openai import OpenAI
from pydantic import BaseModel


class Keeper(BaseModel):
    name: str


def created(mode: Mode) -> object:
    client = instructor.from_openai(OpenAI(max_retries=0), mode=mode)
    if mode is Mode.RESPONSES_TOOLS:
        return client.responses.create(model="leadline", input=KEEPER, response_model=Keeper)
    messages = [{"role": "user", "content": KEEPER}]
    return client.chat.completions.create(model="leadline", messages=messages, response_model=Keeper)


for mode in (Mode.TOOLS, Mode.JSON, Mode.JSON_SCHEMA, Mode.MD_JSON, Mode.RESPONSES_TOOLS):
    tried(mode.name, FORMED, lambda mode=mode: created(mode))
