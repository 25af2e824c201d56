import pytest

from rlm.chains.links import MAX_LINKS, Links, descriptions

CROSSING = "What was the year of death of the designer of the crossing that is guarded by a swan? The later is right."


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (CROSSING, ("the crossing that is guarded by a swan", "the designer of …")),
        (
            "Who is the patron of the town in which the fair that is named after a nut is held?",
            ("the fair that is named after a nut is held", "the town in which …"),
        ),
        (
            "In which year was the body that owns the vessel whose figurehead is a boar granted its charter?",
            ("the vessel whose figurehead is a boar granted its charter", "the body that owns …"),
        ),
        (
            "Who wrote the book that inspired the film in which the actor who played Bond dies?",
            ("the actor who played Bond dies", "the film in which …", "the book that inspired …"),
        ),
        ("What is the name of the ship that sank?", ()),
        ("Who is Ahab?", ()),
        ("", ()),
    ],
)
def test_descriptions_come_innermost_first(question: str, expected: tuple[str, ...]) -> None:
    assert descriptions(question) == expected


def test_a_name_takes_its_descriptions_place() -> None:
    links = Links.of(CROSSING)
    assert links.query == "the crossing that is guarded by a swan"
    assert links.task == "What is the name of the crossing that is guarded by a swan? The later is right."
    links = links.put("Withy Bridge")
    assert links.next == links.query == "the designer of Withy Bridge"
    links = links.put("Sabina Jellicoe")
    assert links.next is None
    assert links.query == "What was the year of death of Sabina Jellicoe"
    assert links.task == (
        "What was the year of death of the designer of the crossing that is guarded by a swan? The later is right."
        " It is known that the crossing that is guarded by a swan is Withy Bridge."
        " It is known that the designer of Withy Bridge is Sabina Jellicoe."
    )


def test_the_last_words_of_a_turned_question_are_searched_for() -> None:
    links = Links.of("In which year was the body that owns the vessel whose figurehead is a boar granted its charter?")
    assert links.put("Tern").put("Tern Works").query == "In which year was Tern Works granted its charter"


def test_a_name_with_an_article_is_no_description() -> None:
    links = Links.of("Who is the owner of the pub that stands by the mill?").put("the Blue Boar that sings")
    assert links.next is None


def test_links_end() -> None:
    links = Links.of("Who is the " + "friend of the " * 30 + "man that sings?")
    count = 0
    while links.next is not None:
        links, count = links.put("X"), count + 1
    assert count == MAX_LINKS
