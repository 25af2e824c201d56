"""Sub-calls that ask how likely answers are, where a profile says that the model's server tells.

A small model's choice among answers is worth less than its likelihoods: which answer it prefers whatever is asked shows
in them over many records, and can be taken off (Zhao et al., ICML 2021; Holtzman et al., EMNLP 2021).
"""

from collections.abc import Sequence

from rlm.subcalls.port import Context, SubCall

_TOKENS_PER_NUMBER = 12


def likelihood_call(system: str, prompt: str, contexts: Sequence[Context], purpose: str) -> SubCall:
    """Of each context, which goes on after `prompt`, the log-likelihood of each continuation as the whole answer.

    The reply is a JSON object that has a list of natural logarithms by the number of each context, from 1.
    """
    numbers = {
        str(number): {
            "type": "array",
            "items": {"type": "number"},
            "minItems": len(context.continuations),
            "maxItems": len(context.continuations),
        }
        for number, context in enumerate(contexts, start=1)
    }
    schema = {"type": "object", "properties": numbers, "required": list(numbers), "additionalProperties": False}
    room = _TOKENS_PER_NUMBER * sum(len(context.continuations) for context in contexts)
    return SubCall(system, prompt, room, schema, purpose, tuple(contexts))
