"""The limits and words that decide where an answer's sentences and markers end, each with its unit and source.

The comment above a constant describes its effect; the trailing comment gives its unit and source. Values that were
chosen empirically, in the named commit, were not measured. Before you change one, compare results on texts that were
not used to tune it. Words are case-sensitive, except those before an ordinal.
"""

# ---- Markers ----

# Maximum number of digits in a marker's number.
MAX_MARKER_DIGITS = 4  # Digits. Chosen empirically; see commit 11999971.
# Maximum number of characters to hold back from a stream while a bracket may still become a group of markers.
MAX_MARKER_GROUP_CHARS = 60  # Characters. Chosen empirically; see commit 11999971.
# Maximum number of markers that a range such as `[3-5]` adds after its first.
MAX_MARKER_RANGE = 20  # Markers. Chosen empirically; see commit 11999971.

# ---- Quotations and parentheses ----

# Maximum number of characters between single quotation marks; full stops inside them do not end a sentence.
MAX_QUOTED_CHARS = 60  # Characters. Chosen empirically; see commit fa043a33.
# Maximum number of characters in a parenthesis that follows a full stop and belongs to the sentence before it. Such a
# parenthesis ends without punctuation.
MAX_ASIDE_CHARS = 200  # Characters. Chosen empirically; see commit 917d21f5.
# How many characters to look back for the end of a parenthesis together with its punctuation.
ASIDE_END_LOOKBACK_CHARS = 8  # Characters. Chosen empirically; see commit fa043a33.
# A quotation or parenthesis that is still open after this many further sentences no longer joins sentences.
MAX_QUOTED_SENTENCES = 20  # Sentences. Chosen empirically; see commit fa043a33.

# ---- Abbreviations: a full stop after one of these ends no sentence ----

# Titles, and name suffixes.
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
# Words before a number or a reference.
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
# Words before a quantity or a date.
QUANTITY_ABBREVIATIONS = ("c", "ca", "approx")  # Words. Chosen empirically; see commit f01216f4.
# Words that contain a full stop, and legal forms of companies.
OTHER_ABBREVIATIONS = (  # Words. Chosen empirically; see commit f01216f4.
    "e.g",
    "i.e",
    "U.S",
    "z.B",
    "Inc",
    "Ltd",
    "Co",
)
# How many characters to look back for an abbreviation, including its full stop.
ABBREVIATION_LOOKBACK_CHARS = 8  # Characters. Arithmetic: the longest abbreviation above has 7 with its full stop.

# ---- Numbers with a full stop ----

# Maximum number of digits in a list item's number.
MAX_LIST_NUMBER_DIGITS = 3  # Digits. Chosen empirically; see commit c22a12cd.
# Maximum number of digits in an ordinal, which German writes with a full stop.
MAX_ORDINAL_DIGITS = 3  # Digits. Chosen empirically; see commit 6a294657.
# Maximum number of digits in a day of the month.
MAX_DAY_DIGITS = 2  # Digits. Arithmetic: a month has at most 31 days.
# How many characters to look back for the number of a list item, ordinal or day, including its full stop.
NUMBER_LOOKBACK_CHARS = 20  # Characters. Chosen empirically; see commit c22a12cd.
# German prepositions before an ordinal: "bis 24. Mai"; not the "am" of "I am 12."
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
# German articles before an ordinal: "der 3. Jahrgang".
ORDINAL_ARTICLES = ("der", "dem", "den", "des", "die", "das")  # Words. Chosen empirically; see commit 6a294657.
# Other German words before an ordinal: "jedes 2. Jahr".
ORDINAL_QUANTIFIERS = (  # Words. Chosen empirically; see commit 6a294657.
    "je",
    "jede",
    "jeder",
    "jedem",
    "jeden",
    "jedes",
)
# A full stop between a number and one of these months does not end a sentence: "26. März".
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
# Month names used only in Austria; a full stop before one of them does not end a sentence either.
AUSTRIAN_MONTHS = ("Jänner", "Feber")  # Words. From Unicode CLDR, locale de_AT; for "Feber", see commit 6a294657.
