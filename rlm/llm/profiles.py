"""Profiles of models: the sizes and capabilities that must be known before the first call to a model.

`profiles.toml` describes today's model families. An operator's file can add models and change these; see
`deploy/README.md`. A model without a profile is assumed to be capable: it writes code, routes, judges and follows JSON
schemas. Request features that its server rejects are detected on first use (`rlm/llm/server_habits.py`).
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from ingest.storage.errors import LeadlineError
from rlm.llm.budgets import FREE, Price

StructuredOutput = Literal["json_schema", "json_object", "none"]
Thinking = Literal["none", "tags", "open-ended", "unknown"]

# Maximum number of tokens to read for an answer, which is about eighty pages. Reading them takes sixteen seconds at the
# default `read_speed`, and costs four cents at $1.25 per million tokens. Users do not want to wait much longer for the
# first word, and a simple answer should not cost more.
_MAX_READING_TOKENS = 32_000
# Maximum number of tokens of text in one call of an operator, which is a few chapters. A model that labels ten chapters
# in one reply misses single mentions, and calls run in parallel anyway.
_MAX_SLICE_TOKENS = 12_000
_BUILT_IN_FILE = Path(__file__).with_name("profiles.toml")


class ProfileFileError(LeadlineError):
    """The file of model profiles is invalid."""

    code = "model_profiles"
    default_hint = "Correct the file that LEADLINE_MODEL_PROFILES names; deploy/README.md shows an example."


@dataclass(frozen=True)
class ModelProfile:
    """A chat model's name, sizes and capabilities.

    Sizes, in tokens: prompt and answer together fit in `context_tokens`. `max_output_tokens` limits an answer; a model
    that thinks first gets `thinking_tokens` in addition. A direct answer reads at most `reading_tokens` of documents (0
    means half of the longest prompt, at most 32,000). One call of an operator reads `slice_tokens` of a document (0
    means half of the longest prompt, at most 12,000) or `batch_items` small records.

    Capabilities: `writes_code` (recursive answers), `routes` (chooses the strategy), `judges` (checks sentences). A
    `small` model gets shorter prompts and simpler tasks. Runs nest up to `max_depth` levels; `root_advice` is appended
    to the instructions of a root model.

    The text of a reply: with `tags`, thoughts come first, between <think> and </think>. `open-ended` thoughts have only
    the closing tag, so the pieces of a stream are held back until it arrives. With `none` the text is never filtered.
    `unknown` means `tags` or `open-ended`: the first streamed reply is held back until its end, which shows which of
    the two it is.

    The server: `parallel_calls` may be in progress at a time over all runs of a process, with `call_seconds` for each.
    `structured_output` is the highest level of schema support. A `cache_salt` keeps vLLM from sharing its prefix cache
    between tenants; other servers ignore it. vLLM uses a `priority` if it was started with `--scheduling-policy
    priority`; otherwise it rejects the first one and no more are sent. `request_options` are added unchanged to every
    request. `read_speed` and `write_speed` are tokens per second over all calls in progress, for estimates. Change
    `revision` when a model starts to give different answers under the same name.
    """

    name: str
    context_tokens: int
    max_output_tokens: int
    reading_tokens: int = 0
    batch_items: int = 10
    slice_tokens: int = 0
    parallel_calls: int = 8
    call_seconds: float = 300.0
    max_depth: int = 1
    writes_code: bool = True
    routes: bool = True
    judges: bool = True
    small: bool = False
    root_advice: str = ""
    thinking: Thinking = "tags"
    thinking_tokens: int = 0
    structured_output: StructuredOutput = "json_schema"
    cache_salt: bool = True
    priority: bool = True
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
        for name in ("slice_tokens", "reading_tokens"):
            if not 0 <= getattr(self, name) <= self.max_prompt_tokens:
                raise ValueError(f"{self.name}: {name} ({getattr(self, name)}) do not fit in a prompt")
        if min(self.batch_items, self.parallel_calls) < 1 or self.call_seconds <= 0 or self.thinking_tokens < 0:
            raise ValueError(f"{self.name}: batch_items, parallel_calls and call_seconds must be positive")
        half = max(1, self.max_prompt_tokens // 2)
        if self.slice_tokens == 0:
            object.__setattr__(self, "slice_tokens", min(half, _MAX_SLICE_TOKENS))
        if self.reading_tokens == 0:
            object.__setattr__(self, "reading_tokens", min(half, _MAX_READING_TOKENS))

    @property
    def max_prompt_tokens(self) -> int:
        """The maximum prompt length that leaves enough tokens for the longest answer."""
        return self.context_tokens - self.max_output_tokens - self.thinking_tokens

    @property
    def fingerprint(self) -> tuple[str, ...]:
        """Values that distinguish models that may answer the same prompt differently."""
        return (self.name, self.revision, self.structured_output, str(self.thinking_tokens), repr(self.request_options))

    def with_context_tokens(self, context_tokens: int | None) -> "ModelProfile":
        """Return the profile with a smaller context window, such as the one that a server was started with."""
        if context_tokens is None or context_tokens >= self.context_tokens:
            return self
        quarter = context_tokens // 4
        output, thinking = min(self.max_output_tokens, quarter), min(self.thinking_tokens, quarter)
        prompt = context_tokens - output - thinking
        return replace(
            self,
            context_tokens=context_tokens,
            max_output_tokens=output,
            thinking_tokens=thinking,
            slice_tokens=min(self.slice_tokens, max(1, prompt // 2)),
            reading_tokens=min(self.reading_tokens, max(1, prompt // 2)),
        )


LOCAL_QWEN = ModelProfile(
    name="qwen2.5-coder-1.5b-instruct",
    context_tokens=8192,
    max_output_tokens=1024,
    reading_tokens=2500,
    slice_tokens=1500,
    parallel_calls=4,
    call_seconds=600.0,
    max_depth=0,
    writes_code=False,
    routes=False,
    judges=False,
    small=True,
    thinking="none",
    cache_salt=False,
    priority=False,
    price=FREE,
    read_speed=160.0,
    write_speed=16.0,
)
"""The built-in model."""
_UNKNOWN_WINDOW_TOKENS = 32_768


class Profiles:
    """Profiles keyed by model name or by a pattern such as `gpt-5*`, case-insensitive.

    An exact name takes precedence over a pattern, and later entries take precedence over earlier ones. A pattern
    without a slash matches the model of any organisation: `qwen3-8b*` also matches `Qwen/Qwen3-8B-AWQ`.
    """

    def __init__(self, profiles: Sequence[ModelProfile] = (LOCAL_QWEN,)) -> None:
        self._profiles = tuple(profiles)
        self._stated: dict[ModelProfile, Mapping[str, Any]] = {}

    def get_profile(self, name: str, *, context_tokens: int | None = None) -> ModelProfile:
        """Return the profile of the model `name`.

        `context_tokens` is the size of the model's context window, if it is smaller than in the profile or missing
        there.
        """
        found = self._find_profile(name)
        if found is None:
            window = context_tokens or _UNKNOWN_WINDOW_TOKENS
            return ModelProfile(name, window, max_output_tokens=min(4096, window // 4), thinking="unknown")
        return replace(found, name=name).with_context_tokens(context_tokens)

    def _find_profile(self, name: str) -> ModelProfile | None:
        latest_first = self._profiles[::-1]
        exact = (profile for profile in latest_first if profile.name.lower() == name.lower())
        matching = (profile for profile in latest_first if _matches_pattern(name, profile.name))
        return next(exact, None) or next(matching, None)

    def with_entries(
        self, entries: Mapping[str, Mapping[str, Any]], source: str, *, thinking: Thinking = "unknown"
    ) -> "Profiles":
        """Return these profiles with the `entries` of a file applied, which are keyed by model name.

        Fields that an entry omits are unchanged.

        `thinking` is the default for new models whose entry omits this field.
        """
        made = Profiles(self._profiles)
        made._stated.update(self._stated)
        for name, entry in entries.items():
            if unknown := sorted(set(entry) - set(_SETTINGS)):
                raise ProfileFileError(
                    f"{source}: model {name!r} has an unknown setting {unknown[0]!r}; the settings are "
                    f"{', '.join(_SETTINGS)}."
                )
            found = made._find_profile(name)
            known = {"thinking": thinking} if found is None else made._stated.get(found) or asdict(found)
            stated = {**known, **entry, "name": name}  # Compute derived sizes again, from the sizes that were given.
            try:
                profile = _PROFILE.validate_python(stated)
            except ValidationError as error:
                first = error.errors()[0]
                where = "".join(f"{part}: " for part in first["loc"])
                raise ProfileFileError(f"{source}: model {name!r}: {where}{first['msg']}.") from error
            made._profiles += (profile,)
            made._stated[profile] = stated
        return made


def load_profiles(path: Path | None) -> Profiles:
    """Load the built-in profiles and the profiles in a TOML file, which has a table `[models."NAME"]` for each model.

    Raises `ProfileFileError`, which names the invalid entry and setting.
    """
    shipped = _load_built_in_profiles()
    return shipped if path is None else shipped.with_entries(_load_entries(path), str(path))


@cache
def _load_built_in_profiles() -> Profiles:
    return Profiles().with_entries(_load_entries(_BUILT_IN_FILE), _BUILT_IN_FILE.name, thinking="tags")


def _load_entries(path: Path) -> Mapping[str, Mapping[str, Any]]:
    try:
        read = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProfileFileError(f"{path} cannot be read: {error}.") from error
    models = read.get("models")
    if not isinstance(models, dict) or not all(isinstance(entry, dict) for entry in models.values()):
        raise ProfileFileError(f'{path} does not contain any [models."NAME"] tables.')
    return models


def _matches_pattern(name: str, pattern: str) -> bool:
    name, pattern = name.lower(), pattern.lower()
    return fnmatchcase(name, pattern) or ("/" not in pattern and fnmatchcase(name.rsplit("/", 1)[-1], pattern))


_PROFILE = TypeAdapter(ModelProfile)
_SETTINGS = tuple(each.name for each in fields(ModelProfile) if each.name != "name")


_LETTERS_PER_TOKEN = 3.5
# Matches base64, hashes and gene sequences, which contain no words of a tokenizer's vocabulary.
_RUN = re.compile(rb"[A-Za-z0-9+/_-]{24,}")
_LETTERS_PER_TOKEN_OF_A_RUN = 1.4
_LETTERS = bytes(byte for byte in range(128) if chr(byte).isalpha())
_WORDY = _LETTERS + b" "


def estimate_tokens(text: str) -> int:
    """Estimate the number of tokens, erring on the high side.

    One token is counted for 3.5 English letters or spaces, for 1.4 characters in long runs without a space, and for
    each other character. Tokenizers of this family split numbers into digits, and other scripts into up to one token
    per character. The estimate exceeds the count of Qwen2.5's tokenizer by a factor of 1.4 for books, 1.6 for code, 1.1
    for JSON, 1.0 for German and 1.3 for Chinese.
    """
    encoded = text.encode("utf-8", "surrogatepass")
    wordy = _count_characters(encoded, _WORDY)
    in_runs = sum(_count_characters(run, _LETTERS) for run in _RUN.findall(encoded))
    tokens = (wordy - in_runs) / _LETTERS_PER_TOKEN + in_runs / _LETTERS_PER_TOKEN_OF_A_RUN
    return int(tokens) + len(text) - wordy


def _count_characters(text: bytes, counted_bytes: bytes) -> int:
    return len(text) - len(text.translate(None, counted_bytes))
