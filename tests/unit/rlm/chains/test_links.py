import pytest

from rlm.chains.links import MAX_LINKS, Links, descriptions

CROSSING = "What was the year of death of the designer of the crossing that is guarded by a swan? The later is right."


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (CROSSING, ("the crossing that is guarded by a swan", "the designer of …")),
        (
            "Who is the patron of the town in which the fair that is named after a nut is held?",
            ("the fair that is named after a nut", "the town in which … is held"),
        ),
        (
            "In which year was the body that owns the vessel whose figurehead is a boar granted its charter?",
            ("the vessel whose figurehead is a boar", "the body that owns …"),
        ),
        (
            "Who wrote the book that inspired the film in which the actor who played Bond dies?",
            ("the actor who played Bond dies", "the film in which …", "the book that inspired …"),
        ),
        (
            "Who is the heir of the author of the play about a man who turns the soil who can no longer find a plough?",
            ("the play about a man who turns the soil who can no longer find a plough", "the author of …"),
        ),
        (
            "Who taught the master under whom the designer of the bridge that has two towers trained?",
            ("the bridge that has two towers", "the designer of …", "the master under whom … trained"),
        ),
        (
            "When did the printer who came into the world in the town where the fair that sells geese is held die?",
            ("the fair that sells geese", "the town where … is held", "the printer who came into the world in …"),
        ),
        (
            "In which year did the boat of the body that owns the vessel whose figurehead is a boar first touch water?",
            ("the vessel whose figurehead is a boar", "the body that owns …", "the boat of …"),
        ),
        (
            "When did the race held in the town where the body whose crest shows a comb is based take place at all?",
            ("the body whose crest shows a comb", "the town where … is based", "the race held in …"),
        ),
        (
            "Who is the heir of the person whose memory the vessel whose figurehead is a boar keeps by its name?",
            ("the vessel whose figurehead is a boar", "the person whose memory … keeps by its name"),
        ),
        (
            "Who is the poet whose training was in the hands of the designer of the bridge that has two towers?",
            ("the bridge that has two towers", "the designer of …"),
        ),
        (
            "Who mends the hands of the clock that hangs above a door?",
            ("the clock that hangs above a door", "the hands of …"),
        ),
        (
            "Who wrote the piece of writing about a lender of money at high interest who can no longer find a psalter?",
            ("the piece of writing about a lender of money at high interest who can no longer find a psalter",),
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
    assert links.task == "What was the year of death of Sabina Jellicoe? The later is right."


def test_the_name_itself_answers_nothing_that_is_asked_about_it() -> None:
    links = Links.of(CROSSING)
    assert links.answers("Withy Bridge")
    links = links.put("stone bridge Withy Bridge")
    assert not links.answers("Withy Bridge")
    assert not links.answers("The stone bridge Withy Bridge")
    assert links.answers("Withy Bridge Company")


def test_the_last_words_of_a_turned_question_are_searched_for() -> None:
    links = Links.of("In which year was the body that owns the vessel whose figurehead is a boar granted its charter?")
    assert links.put("Tern").put("Tern Works").query == "In which year was Tern Works granted its charter"


def test_a_turned_question_is_asked_whole_of_its_last_name() -> None:
    links = Links.of("In which year was the body that owns the vessel whose figurehead is a boar granted its charter?")
    assert links.put("Tern").put("Tern Works").short_task == "In which year was Tern Works granted its charter?"


def test_a_verb_that_was_left_for_the_end_stays_there() -> None:
    links = Links.of("Who is the patron of the town in which the fair that is named after a nut is held?")
    assert (links.name, links.next) == (None, "the fair that is named after a nut")
    links = links.put("Hazel Fair")
    assert (links.name, links.next) == ("Hazel Fair", "the town in which Hazel Fair is held")
    links = links.put("Marlbury")
    assert (links.next, links.short_task) == (None, "Who is the patron of Marlbury?")


@pytest.mark.parametrize(
    ("notes", "expected"),
    [
        ("The later is right.", True),
        ("Take the most recent source.", True),
        ("Where two sources disagree, the later one is right.", True),
        ("Be brief.", False),
        ("I will say more later.", False),
        ("The earlier is right, not the later one.", False),
        ("", False),
    ],
)
def test_notes_may_say_that_later_sources_are_right(notes: str, expected: bool) -> None:
    assert Links.of(f"Who is the later owner of the pub that stands by the mill? {notes}").later is expected


def test_a_name_with_an_article_is_no_description() -> None:
    links = Links.of("Who is the owner of the pub that stands by the mill?").put("the Blue Boar that sings")
    assert links.next is None


def test_links_end() -> None:
    links = Links.of("Who is the " + "friend of the " * 30 + "man that sings?")
    count = 0
    while links.next is not None:
        links, count = links.put("X"), count + 1
    assert count == MAX_LINKS
