"""The limits and words that decide where an answer's sentences and markers end, each with its unit and source.

The comment above a constant describes its effect; the trailing comment gives its unit and source. Values that were
"chosen by eye", in the commit named, were not measured. Before you change one, compare results on texts that were not
used to tune it. Words are case-sensitive, except those before an ordinal.
"""

# ---- Markers ----

# Maximum number of digits in a marker's number.
MAX_MARKER_DIGITS = 4  # digits; chosen by eye, commit 11999971
# Maximum number of characters of a streamed reply to hold back while a bracket may still become a group of markers.
MAX_MARKER_GROUP_CHARS = 60  # characters; chosen by eye, commit 11999971
# Maximum number of markers that a range such as `[3-5]` adds after its first.
MAX_MARKER_RANGE = 20  # markers; chosen by eye, commit 11999971

# ---- Quotations and parentheses ----

# Maximum number of characters between single quotation marks; full stops inside them do not end a sentence.
MAX_QUOTED_CHARS = 60  # characters; chosen by eye, commit fa043a33
# Maximum length of a parenthesis that follows a full stop and belongs to the sentence before it. Such a parenthesis
# ends without punctuation.
MAX_ASIDE_CHARS = 200  # characters; chosen by eye, commit 917d21f5
# How far to look back for the end of a parenthesis together with its punctuation.
ASIDE_END_LOOKBACK_CHARS = 8  # characters; chosen by eye, commit fa043a33
# A quotation or parenthesis that is still open after this many further sentences no longer joins sentences.
MAX_QUOTED_SENTENCES = 20  # sentences; chosen by eye, commit fa043a33

# ---- Abbreviations: a full stop after one of these ends no sentence ----

# Titles, and name suffixes.
TITLE_ABBREVIATIONS = ("Mr", "Mrs", "Ms", "Dr", "Prof", "St", "Jr", "Sr")  # words; chosen by eye, commit f01216f4
# Words before a number or a reference.
REFERENCE_ABBREVIATIONS = ("No", "Nr", "Fig", "Vol", "p", "pp", "vs", "al")  # words; chosen by eye, commit f01216f4
# Words before a quantity or a date.
QUANTITY_ABBREVIATIONS = ("c", "ca", "approx")  # words; chosen by eye, commit f01216f4
# Words that contain a full stop, and legal forms of companies.
OTHER_ABBREVIATIONS = ("e.g", "i.e", "U.S", "z.B", "Inc", "Ltd", "Co")  # words; chosen by eye, commit f01216f4
# How far to look back for an abbreviation, including its full stop.
ABBREVIATION_LOOKBACK_CHARS = 8  # characters; arithmetic: the longest above has 7 with its full stop

# ---- Numbers with a full stop ----

# Maximum number of digits in a list item's number.
MAX_LIST_NUMBER_DIGITS = 3  # digits; chosen by eye, commit c22a12cd
# Maximum number of digits in an ordinal, which German writes with a full stop.
MAX_ORDINAL_DIGITS = 3  # digits; chosen by eye, commit 6a294657
# Maximum number of digits in a day of the month.
MAX_DAY_DIGITS = 2  # digits; arithmetic: a month has at most 31 days
# How far to look back for the number of a list item, ordinal or day, including its full stop.
NUMBER_LOOKBACK_CHARS = 20  # characters; chosen by eye, commit c22a12cd
# German prepositions before an ordinal: "bis 24. Mai"; not the "am" of "I am 12."
ORDINAL_PREPOSITIONS = (  # words; chosen by eye, commit 6a294657
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
ORDINAL_ARTICLES = ("der", "dem", "den", "des", "die", "das")  # words; chosen by eye, commit 6a294657
# Other German words before an ordinal: "jedes 2. Jahr".
ORDINAL_QUANTIFIERS = ("je", "jede", "jeder", "jedem", "jeden", "jedes")  # words; chosen by eye, commit 6a294657
# A full stop between a number and one of these months does not end a sentence: "26. März".
GERMAN_MONTHS = (  # words; Unicode CLDR, locale de
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
AUSTRIAN_MONTHS = ("Jänner", "Feber")  # words; Unicode CLDR, locale de_AT: Jänner; Feber chosen by eye, commit 6a294657
