"""A service as a first-time user starts it, asked about the documents of `examples/`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from api.build.embedded import open_embedded_services
from api.settings.settings import Settings
from rlm.llm.port import LanguageModel
from tests.support.careful_reader import CarefulReader, Fact
from tests.support.scripted_openai import scripted_openai
from tests.support.service import listening, patient_health

EXAMPLES = Path(__file__).parents[2] / "examples"
DOCUMENTS = EXAMPLES / "documents"
# What documents say to the questions of the programs and of README.md.
FACTS = {
    "How many minutes slow is the harbour clock of St Carrow?": Fact(
        "It is seven minutes slow.", "the clock outside the tower was seven minutes slow"
    ),
    "Which reef were the boats lost on?": Fact("They were lost on the Harrow.", "LOST ON THE HARROW"),
    "Within how many days must the Customer pay an invoice?": Fact(
        "The Customer must pay an invoice within 30 days of receiving it.", "within 30 days of receiving it"
    ),
    "Which reef were the three boats lost on?": Fact("They were lost on the Harrow.", "LOST ON THE HARROW"),
    "What is the name of the cat in the clock tower?": Fact("The cat is called Bosun.", "That's Bosun"),
    "What is the monthly charge for the Swindon depot?": Fact("The charge is £1,640 a month.", "£1,640"),
    "When must the Customer pay an invoice?": Fact(
        "The Customer must pay it within 30 days of receiving it.", "within 30 days of receiving it"
    ),
}
LATE_ORDERS = "How many orders from Spain were late?"
PLANS = {
    LATE_ORDERS: {
        "semantic_columns": [],
        "language": "en",
        "sql": "SELECT count(*) AS late FROM orders WHERE country = 'Spain' AND delivered_on > promised_on",
        "rows_sql": "SELECT _row FROM orders WHERE country = 'Spain' AND delivered_on > promised_on",
        "answer": "{late} orders from Spain were late.",
    }
}


@contextmanager
def example_service(home: Path, models: Path, language_model: LanguageModel | None = None) -> Iterator[tuple[str, str]]:
    """Yield the address and a key of a service with the built-in encoder and a capable, scripted model, or another."""
    with scripted_openai(CarefulReader(FACTS, PLANS), window_tokens=32_000) as server:
        named = {} if language_model else {"llm": f"{server.url} careful-reader"}
        settings = Settings.model_validate(
            {"home": home, "models": models, "min_free_bytes": 0, "ballast_bytes": 0, **named}
        )
        with (
            patient_health(),
            open_embedded_services(settings, language_model=language_model) as services,
            listening(services) as (url, key),
        ):
            yield url, key
