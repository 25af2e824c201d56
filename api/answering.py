"""Makes what answers questions, for either deployment."""

from contextlib import ExitStack

from api.language_model import open_judge
from api.settings import Settings
from retrieval.search import Searches
from rlm.answering import Answering, LanguageModel
from rlm.build import Answers, Parts
from rlm.checking.checker import CheckMode


def make_answering(
    settings: Settings, searcher: Searches, language_model: LanguageModel, parts: Parts, stack: ExitStack
) -> Answering:
    """Answers as the settings want them checked; a judge of its own is closed with `stack`."""
    judge = open_judge(settings)
    if judge is not None:
        stack.callback(judge.close)
    return Answering(searcher, language_model, Answers(parts), check=CheckMode(settings.check), judge=judge)
