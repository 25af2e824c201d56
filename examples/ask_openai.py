"""Ask a question about the contract with OpenAI's own client; only the address and the key are Leadline's."""

import os
from pathlib import Path

from openai import OpenAI

CONTRACT = Path(__file__).parent / "documents" / "services-agreement.pdf"
QUESTION = "When must the Customer pay an invoice?"


def main() -> None:
    url = os.environ.get("LEADLINE_URL", "http://127.0.0.1:8000")
    client = OpenAI(base_url=f"{url}/v1", api_key=os.environ["LEADLINE_API_KEY"])

    store = client.vector_stores.create(name="Contracts")
    client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=CONTRACT)

    response = client.responses.create(
        model="leadline", input=QUESTION, tools=[{"type": "file_search", "vector_store_ids": [store.id]}]
    )
    print(response.output_text)
    for item in response.output:
        for part in item.content if item.type == "message" else ():
            for cited in part.annotations if part.type == "output_text" else ():
                if cited.type == "file_citation":
                    print(f"{cited.filename}, cited at character {cited.index} of the answer")


if __name__ == "__main__":
    main()
