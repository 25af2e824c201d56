"""What callers must know of a model before they ask it anything: the one table of models, and how it is added to.

A profile is found by the model's name, exactly or by a pattern; a model that nobody described gets cautious values. A
TOML file adds profiles and changes those that are here: see `deploy/README.md`.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from ingest.errors import LeadlineError
from rlm.llm.prices import FREE, Price

StructuredOutput = Literal["json_schema", "json_object", "none"]


class ProfileFileError(LeadlineError):
    """The file of model profiles cannot be used."""

    code = "model_profiles"
    default_hint = "Mend the file that LEADLINE_MODEL_PROFILES names; deploy/README.md shows one."


@dataclass(frozen=True)
class ModelProfile:
    """A chat model's name, sizes and habits; prompt and answer together must fit `context_tokens`.

    `max_output_tokens` bounds an answer; `thinking_tokens` are allowed on top of it to models that think first.
    `slice_tokens` of a document go into one call (0 stands for half of the longest prompt), or `batch_items` small
    records; of what a search found, `passages_per_call` are read at once. `parallel_calls` are in flight at once over
    all runs of a process. A second copy of a call is sent after `hedge_after_medians` times what such calls take (None:
    never). `max_depth` is how far runs may nest, and `writes_code` whether the model is given free Python, with
    `root_advice` after the rules, or else a plan to fill in. `log_likelihoods` says that its server tells how likely an
    answer is, which a small model's labels gain from: the local server alone does, and others are never asked.
    `structured_output` says what its server makes of a schema, `cache_salt` whether it takes one (vLLM). `read_speed`
    and `write_speed` are tokens a second over all calls in flight, for estimates. `revision` is changed when the same
    name begins to answer differently; `request_options` are sent as they are with every request.
    """

    name: str
    context_tokens: int
    max_output_tokens: int
    batch_items: int = 10
    passages_per_call: int = 5
    slice_tokens: int = 0
    parallel_calls: int = 4
    call_seconds: float = 300.0
    hedge_after_medians: float | None = None
    max_depth: int = 1
    writes_code: bool = False
    root_advice: str = ""
    log_likelihoods: bool = False
    thinking_tokens: int = 0
    structured_output: StructuredOutput = "json_schema"
    cache_salt: bool = False
    price: Price | None = None
    revision: str = ""
    read_speed: float = 2000.0
    write_speed: float = 100.0
    request_options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        room = self.context_tokens - self.thinking_tokens
        if not 0 < self.max_output_tokens < room:
            raise ValueError(
                f"{self.name}: max_output_tokens ({self.max_output_tokens}) must be positive and leave room for a "
                f"prompt in context_tokens ({self.context_tokens})"
            )
        if not 0 <= self.slice_tokens <= self.max_prompt_tokens:
            raise ValueError(f"{self.name}: slice_tokens ({self.slice_tokens}) do not fit a prompt")
        counts = (self.batch_items, self.passages_per_call, self.parallel_calls)
        if min(counts) < 1 or self.call_seconds <= 0 or self.thinking_tokens < 0:
            raise ValueError(
                f"{self.name}: batch_items, passages_per_call, parallel_calls and call_seconds must be positive"
            )
        if self.hedge_after_medians is not None and self.hedge_after_medians <= 1:
            raise ValueError(f"{self.name}: hedge_after_medians must be more than 1")
        if self.slice_tokens == 0:
            object.__setattr__(self, "slice_tokens", max(1, self.max_prompt_tokens // 2))

    @property
    def max_prompt_tokens(self) -> int:
        """The longest prompt that leaves room for the longest answer."""
        return self.context_tokens - self.max_output_tokens - self.thinking_tokens

    @property
    def fingerprint(self) -> tuple[str, ...]:
        """Differs between models whose answers to the same prompt may differ."""
        return (self.name, self.revision, self.structured_output, str(self.thinking_tokens), repr(self.request_options))


LOCAL_QWEN = ModelProfile(
    name="qwen2.5-coder-1.5b-instruct",
    context_tokens=8192,
    max_output_tokens=1024,
    batch_items=10,
    passages_per_call=1,
    slice_tokens=1500,
    parallel_calls=4,
    call_seconds=600.0,
    max_depth=0,
    log_likelihoods=True,
    price=FREE,
    read_speed=160.0,
    write_speed=16.0,
)
MID_SIZE = ModelProfile(
    name="Qwen/Qwen3-30B-A3B-Instruct*",
    context_tokens=131_072,
    max_output_tokens=8192,
    batch_items=30,
    passages_per_call=10,
    slice_tokens=12_000,
    parallel_calls=32,
    call_seconds=180.0,
    hedge_after_medians=4.0,
    max_depth=1,
    writes_code=True,
    cache_salt=True,
    price=FREE,
)
# Its price is for the operator to state: prices change, and a wrong one is worse than none.
FRONTIER = ModelProfile(
    name="gpt-5*",
    context_tokens=272_000,
    max_output_tokens=16_384,
    batch_items=50,
    passages_per_call=10,
    slice_tokens=60_000,
    parallel_calls=16,
    call_seconds=300.0,
    hedge_after_medians=4.0,
    max_depth=2,
    writes_code=True,
    thinking_tokens=8192,
)
_WINDOW_TOKENS = 32_768
BUILT_IN = (LOCAL_QWEN, MID_SIZE, FRONTIER)


class Profiles:
    """Profiles by name. A name may be a pattern such as `gpt-5*`; an exact one goes before it, later ones first."""

    def __init__(self, profiles: Sequence[ModelProfile] = BUILT_IN) -> None:
        self._profiles = tuple(profiles)

    def named(self, name: str, *, context_tokens: int | None = None) -> ModelProfile:
        """The profile of the model called `name`; `context_tokens` is its window where that is smaller or unknown."""
        found = self._find(name)
        if found is None:
            window = context_tokens or _WINDOW_TOKENS
            return ModelProfile(name, window, max_output_tokens=min(4096, window // 4))
        return _within(replace(found, name=name), context_tokens or found.context_tokens)

    def _find(self, name: str) -> ModelProfile | None:
        latest_first = self._profiles[::-1]
        exact = (profile for profile in latest_first if profile.name == name)
        matching = (profile for profile in latest_first if fnmatchcase(name, profile.name))
        return next(exact, None) or next(matching, None)

    def extended(self, entries: Mapping[str, Mapping[str, Any]], source: str) -> "Profiles":
        """These and the `entries` of a file, by model name; what an entry leaves out is as it was before."""
        profiles = list(self._profiles)
        for name, entry in entries.items():
            if unknown := sorted(set(entry) - set(_SETTINGS)):
                raise ProfileFileError(
                    f"{source}: model {name!r} has no setting {unknown[0]!r}; there are {', '.join(_SETTINGS)}."
                )
            known = Profiles(profiles)._find(name)
            base = {**asdict(known), "name": name} if known else {"name": name}
            try:
                profiles.append(_PROFILE.validate_python({**base, **entry, "name": name}))
            except ValidationError as error:
                first = error.errors()[0]
                where = "".join(f"{part}: " for part in first["loc"])
                raise ProfileFileError(f"{source}: model {name!r}: {where}{first['msg']}.") from error
        return Profiles(profiles)


def _within(profile: ModelProfile, context_tokens: int) -> ModelProfile:
    """`profile` in a smaller window, such as one that a server was started with."""
    if context_tokens >= profile.context_tokens:
        return profile
    quarter = context_tokens // 4
    output, thinking = min(profile.max_output_tokens, quarter), min(profile.thinking_tokens, quarter)
    return replace(
        profile,
        context_tokens=context_tokens,
        max_output_tokens=output,
        thinking_tokens=thinking,
        slice_tokens=min(profile.slice_tokens, context_tokens - output - thinking),
    )


def read_profiles(path: Path | None) -> Profiles:
    """The built-in profiles, and those of a TOML file with a table `[models."NAME"]` for each.

    Raises `ProfileFileError`, which names the entry and the setting that is wrong.
    """
    if path is None:
        return Profiles()
    try:
        read = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProfileFileError(f"{path} cannot be read: {error}.") from error
    models = read.get("models")
    if not isinstance(models, dict) or not all(isinstance(entry, dict) for entry in models.values()):
        raise ProfileFileError(f'{path} has no tables [models."NAME"].')
    return Profiles().extended(models, str(path))


_PROFILE = TypeAdapter(ModelProfile)
_SETTINGS = tuple(each.name for each in fields(ModelProfile) if each.name != "name")
