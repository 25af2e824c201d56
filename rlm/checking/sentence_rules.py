"""The limits and words that decide where an answer's sentences and markers end, each with its unit and source.

The comment above a constant describes its effect; the trailing comment gives its unit and source. Values that were
chosen empirically, in the named commit, were not measured. Before you change one, compare results on texts that were
not used to tune it. Words are case-sensitive, except those before an ordinal.
"""

# ---- Markers ----

# Maximum number of digits in a marker's number.
MAX_MARKER_DIGITS = 4  # Digits. Chosen empirically; see commit 11999971.
# Maximum number of characters of a stream to hold back while a bracket may still become a group of markers.
MAX_MARKER_GROUP_CHARS = 60  # Characters. Chosen empirically; see commit 11999971.
# Maximum number of markers that a range such as `[3-5]` adds after its first marker.
MAX_MARKER_RANGE = 20  # Markers. Chosen empirically; see commit 11999971.

# ---- Quotations and parentheses ----

# Maximum number of characters between single quotation marks. Full stops between these marks do not end a sentence.
MAX_QUOTED_CHARS = 60  # Characters. Chosen empirically; see commit fa043a33.
# Maximum number of characters in a parenthesis that follows a full stop and belongs to the sentence before it. Such a
# parenthesis ends without punctuation.
MAX_ASIDE_CHARS = 200  # Characters. Chosen empirically; see commit 917d21f5.
# Number of characters to look back for the end of a parenthesis together with its punctuation.
ASIDE_END_LOOKBACK_CHARS = 8  # Characters. Chosen empirically; see commit fa043a33.
# Maximum number of further sentences after which an open quotation or parenthesis no longer joins sentences.
MAX_QUOTED_SENTENCES = 20  # Sentences. Chosen empirically; see commit fa043a33.

# ---- Abbreviations: a full stop after one of these ends no sentence ----

# Titles and name suffixes that are written with a full stop.
TITLE_ABBREVIATIONS = (  # Words. Chosen empirically; see commit f01216f4.
    "Mr",
    "Mrs",
    "Ms",
    "Dr",
    "Prof",
    "St",
    "Jr",
    "Sr",
)
# Abbreviations before a number or a reference.
REFERENCE_ABBREVIATIONS = (  # Words. Chosen empirically; see commit f01216f4.
    "No",
    "Nr",
    "Fig",
    "Vol",
    "p",
    "pp",
    "vs",
    "al",
)
# Abbreviations before a quantity or a date.
QUANTITY_ABBREVIATIONS = ("c", "ca", "approx")  # Words. Chosen empirically; see commit f01216f4.
# Abbreviations that contain a full stop, and legal forms of companies.
OTHER_ABBREVIATIONS = (  # Words. Chosen empirically; see commit f01216f4.
    "e.g",
    "i.e",
    "U.S",
    "z.B",
    "Inc",
    "Ltd",
    "Co",
)
# Number of characters to look back for an abbreviation, including its full stop.
ABBREVIATION_LOOKBACK_CHARS = 8  # Characters. Arithmetic: the longest abbreviation above has 7 with its full stop.

# ---- Numbers with a full stop ----

# Maximum number of digits in a list item's number.
MAX_LIST_NUMBER_DIGITS = 3  # Digits. Chosen empirically; see commit c22a12cd.
# Maximum number of digits in an ordinal, which German writes with a full stop.
MAX_ORDINAL_DIGITS = 3  # Digits. Chosen empirically; see commit 6a294657.
# Maximum number of digits in a day of the month.
MAX_DAY_DIGITS = 2  # Digits. Arithmetic: a month has at most 31 days.
# Number of characters to look back for the number of a list item, ordinal or day, including its full stop.
NUMBER_LOOKBACK_CHARS = 20  # Characters. Chosen empirically; see commit c22a12cd.
# German prepositions before an ordinal, as in "bis 24. Mai", but not as in "I am 12."
ORDINAL_PREPOSITIONS = (  # Words. Chosen empirically; see commit 6a294657.
    "am",
    "ab",
    "beim",
    "bis",
    "im",
    "seit",
    "vom",
    "zum",
    "zur",
)
# German articles before an ordinal, as in "der 3. Jahrgang".
ORDINAL_ARTICLES = ("der", "dem", "den", "des", "die", "das")  # Words. Chosen empirically; see commit 6a294657.
# Other German words before an ordinal, as in "jedes 2. Jahr".
ORDINAL_QUANTIFIERS = (  # Words. Chosen empirically; see commit 6a294657.
    "je",
    "jede",
    "jeder",
    "jedem",
    "jeden",
    "jedes",
)
# German month names. A full stop between a number and one of these names does not end a sentence: "26. März".
GERMAN_MONTHS = (  # Words. From Unicode CLDR, locale de.
    "Januar",
    "Februar",
    "März",
    "April",
    "Mai",
    "Juni",
    "Juli",
    "August",
    "September",
    "Oktober",
    "November",
    "Dezember",
)
# Month names used only in Austria. A full stop between a number and one of these names does not end a sentence either.
AUSTRIAN_MONTHS = ("Jänner", "Feber")  # Words. From Unicode CLDR, locale de_AT; for "Feber", see commit 6a294657.
