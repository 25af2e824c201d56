"""The limits and words that decide where an answer's sentences and markers end, each with its unit and source.

The comment above a constant describes its effect; the trailing comment gives its unit and source. Values chosen by eye,
in the commit named, were not measured. Before you change one, compare results on texts that it was not tuned on. Words
are case-sensitive, except those before an ordinal.
"""

# ---- Markers ----

# Most digits of a marker's number.
MAX_MARKER_DIGITS = 4  # digits; chosen by eye, commit 11999971
# Characters of a streamed reply held back while a bracket may still become a group of markers.
MAX_MARKER_GROUP_CHARS = 60  # characters; chosen by eye, commit 11999971
# Most markers that a range such as `[3-5]` adds after its first.
MAX_MARKER_RANGE = 20  # markers; chosen by eye, commit 11999971

# ---- Quotations and parentheses ----

# Most characters between single quotation marks inside which full stops end no sentence.
MAX_QUOTED_CHARS = 60  # characters; chosen by eye, commit fa043a33
# Longest parenthesis after a full stop that belongs to the sentence before it; it must end without punctuation.
MAX_ASIDE_CHARS = 200  # characters; chosen by eye, commit 917d21f5
# Characters searched backwards for the end of a parenthesis with its punctuation.
ASIDE_END_LOOKBACK_CHARS = 8  # characters; chosen by eye, commit fa043a33
# Further sentences after which a quotation or parenthesis that is still open no longer joins sentences.
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
# Characters searched backwards for an abbreviation, including its full stop.
ABBREVIATION_LOOKBACK_CHARS = 8  # characters; arithmetic: the longest above has 7 with its full stop

# ---- Numbers with a full stop ----

# Most digits of a list item's number.
MAX_LIST_NUMBER_DIGITS = 3  # digits; chosen by eye, commit c22a12cd
# Most digits of an ordinal, which German writes with a full stop.
MAX_ORDINAL_DIGITS = 3  # digits; chosen by eye, commit 6a294657
# Most digits of a day of the month.
MAX_DAY_DIGITS = 2  # digits; arithmetic: a month has at most 31 days
# Characters searched backwards for the number of a list item, ordinal or day, including its full stop.
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
# A full stop between a number and one of these months ends no sentence: "26. März".
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
# Month names used only in Austria; they have the same effect.
AUSTRIAN_MONTHS = ("Jänner", "Feber")  # words; Unicode CLDR, locale de_AT: Jänner; Feber chosen by eye, commit 6a294657
