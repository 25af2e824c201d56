"""The limits and words that decide where an answer's sentences and markers end, each with its unit and its source.

The comment above a constant says what it decides; the comment behind it gives its unit and its source. Values that were
chosen by eye, in the commit that is named, were not measured. Before you change one, compare results on texts that it
was not tuned on. Words are matched in their case, except those before an ordinal.
"""

# ---- Markers ----

# A marker's number has no more digits.
MAX_MARKER_DIGITS = 4  # digits; chosen by eye, commit 11999971
# While a reply streams, a bracket that may become a group of markers is held back for fewer characters.
MAX_MARKER_GROUP_CHARS = 60  # characters; chosen by eye, commit 11999971
# A range such as `[3-5]` is read as no more markers after its first.
MAX_MARKER_RANGE = 20  # markers; chosen by eye, commit 11999971

# ---- Quotations and parentheses ----

# Full stops end no sentence between single quotation marks that are no further apart.
MAX_QUOTED_CHARS = 60  # characters; chosen by eye, commit fa043a33
# A parenthesis after a full stop belongs to the sentence before it if it is no longer, and ends without a mark.
MAX_ASIDE_CHARS = 200  # characters; chosen by eye, commit 917d21f5
# The end of a parenthesis, with its marks, is looked for in as many characters.
ASIDE_END_LOOKBACK_CHARS = 8  # characters; chosen by eye, commit fa043a33
# A quotation or parenthesis that is still open after as many further sentences does not join them.
MAX_QUOTED_SENTENCES = 20  # sentences; chosen by eye, commit fa043a33

# ---- Abbreviations: a full stop after one of these ends no sentence ----

# Titles, and additions to names.
TITLE_ABBREVIATIONS = ("Mr", "Mrs", "Ms", "Dr", "Prof", "St", "Jr", "Sr")  # words; chosen by eye, commit f01216f4
# Words before a number, or before what is cited.
REFERENCE_ABBREVIATIONS = ("No", "Nr", "Fig", "Vol", "p", "pp", "vs", "al")  # words; chosen by eye, commit f01216f4
# Words before a quantity or a date.
QUANTITY_ABBREVIATIONS = ("c", "ca", "approx")  # words; chosen by eye, commit f01216f4
# Words with a full stop within, and the legal forms of companies.
OTHER_ABBREVIATIONS = ("e.g", "i.e", "U.S", "z.B", "Inc", "Ltd", "Co")  # words; chosen by eye, commit f01216f4
# An abbreviation is looked for in as many characters, up to its full stop.
ABBREVIATION_LOOKBACK_CHARS = 8  # characters; arithmetic: the longest above has 7 with its full stop

# ---- Numbers with a full stop ----

# The number of a list's item has no more digits.
MAX_LIST_NUMBER_DIGITS = 3  # digits; chosen by eye, commit c22a12cd
# An ordinal, in German written with a full stop, has no more digits.
MAX_ORDINAL_DIGITS = 3  # digits; chosen by eye, commit 6a294657
# The day of a month has no more digits.
MAX_DAY_DIGITS = 2  # digits; arithmetic: a month has at most 31 days
# The number of an item, an ordinal or a day is looked for in as many characters, up to its full stop.
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
# The same for names of months that only Austria has.
AUSTRIAN_MONTHS = ("Jänner", "Feber")  # words; Unicode CLDR, locale de_AT: Jänner; Feber chosen by eye, commit 6a294657
