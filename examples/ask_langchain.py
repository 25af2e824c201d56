"""Ask a question about the novel in a LangChain chain that runs a search and a checked answer in parallel."""

from pathlib import Path

from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableParallel

from api.langchain import ChatLeadline, LeadlineRetriever
from leadline import Client

NOVEL = Path(__file__).parent / "documents" / "seven-minutes-slow.md"
QUESTION = "Which reef were the three boats lost on?"


def main() -> None:
    with Client() as leadline:  # reads LEADLINE_URL and LEADLINE_API_KEY, as the chain below does
        document = leadline.upload(NOVEL)
        for _ in leadline.follow_document(document.id):
            pass  # wait until it is ready
    within = {"documents": [document.id]}
    chain = RunnableParallel(
        answer=ChatLeadline(ask_kwargs=within) | StrOutputParser(),
        passages=LeadlineRetriever(k=3, search_kwargs=within) | list_sources,
    )
    found = chain.invoke(QUESTION)
    print(found["answer"])
    print(found["passages"])


def list_sources(passages: list[Document]) -> str:
    return "\n".join(f"{each.metadata['source']}: {' '.join(each.page_content.split())[:80]}…" for each in passages)


if __name__ == "__main__":
    main()
