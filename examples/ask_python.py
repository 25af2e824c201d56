"""Ask a question about the contract with the Python client."""

from pathlib import Path

from leadline import Client

CONTRACT = Path(__file__).parent / "documents" / "services-agreement.pdf"
QUESTION = "What is the monthly charge for the Swindon depot?"


def main() -> None:
    with Client() as leadline:  # reads LEADLINE_URL and LEADLINE_API_KEY
        document = leadline.upload(CONTRACT)
        for state in leadline.follow_document(document.id):
            print(state.state)

        answer = leadline.answer(QUESTION, documents=[document.id])
        print(answer.text)
        for cited in answer.citations:
            print(f"[{cited.number}] {cited.title}, {cited.place}: “{cited.quote}”")


if __name__ == "__main__":
    main()
