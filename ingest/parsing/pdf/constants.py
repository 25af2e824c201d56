"""Thresholds for reading the layout of a PDF, each with its unit and source.

The comment above a constant states its purpose; the comment after it gives its unit and source. Most values were chosen
empirically in the named commit, without systematic measurements. Before changing one, compare the results on documents
that it was not tuned on. If a change affects the extracted text, also change `PDF_PARSER`. A point is 1/72 inch.
"""


# ---- Opening a file and its limits ----

# The end-of-file marker of a complete file begins within this many bytes of the end of the file.
FILE_TAIL_BYTES = 65_536  # Bytes. Chosen empirically; see commit f01216f4.
# PDFium's error codes for a file that cannot be opened without a password.
PDFIUM_PASSWORD_ERRORS = frozenset({4, 5})  # Codes. See PDFium, fpdfview.h: FPDF_ERR_PASSWORD, FPDF_ERR_SECURITY.
# Maximum number of outline entries to read.
MAX_BOOKMARKS = 20_000  # Bookmarks. Chosen empirically; see commit 93ad8549.
# Outline entries nested more deeply than this are not read.
MAX_BOOKMARK_DEPTH = 12  # Levels. Chosen empirically; see commit 93ad8549.
# Number of pages held in memory at a time. Running headers and line spacing are determined for each such window.
WINDOW_PAGES = 128  # Pages. Chosen empirically; see commit 93ad8549.
# In documents longer than one window, the font of the body text is determined from this many pages.
TYPE_SAMPLE_PAGES = 64  # Pages. Chosen empirically; see commit 93ad8549.
# Maximum number of annotations to read per page.
MAX_PAGE_ANNOTATIONS = 5_000  # Annotations. Chosen empirically; see commit 93ad8549.
# Annotations with one of these flags are not shown: Hidden, NoView.
ANNOTATION_HIDDEN_FLAGS = 0x02 | 0x20  # Bit flags. See ISO 32000-1, table 165.

# ---- PDFium's codes ----

# PDFium's code for a hyphen that divides a word at the end of a line.
PDFIUM_HYPHEN = 0x2  # Code point. See PDFium, cpdf_textpage.cpp.
# PDFium's code for the same hyphen in the text of a whole page.
PDFIUM_HYPHEN_IN_TEXT = 0xFFFE  # Code point. See PDFium, cpdf_textpage.cpp.
# Page object kind: path.
PDFIUM_PATH_OBJECT = 2  # Code. See PDFium, fpdf_edit.h: FPDF_PAGEOBJ_PATH.
# Page object kind: image.
PDFIUM_IMAGE_OBJECT = 3  # Code. See PDFium, fpdf_edit.h: FPDF_PAGEOBJ_IMAGE.
# Page object kind: shading.
PDFIUM_SHADING_OBJECT = 4  # Code. See PDFium, fpdf_edit.h: FPDF_PAGEOBJ_SHADING.
# Page object kind: form, which contains other objects.
PDFIUM_FORM_OBJECT = 5  # Code. See PDFium, fpdf_edit.h: FPDF_PAGEOBJ_FORM.
# Path segment kind: line.
PDFIUM_LINE_SEGMENT = 0  # Code. See PDFium, fpdf_edit.h: FPDF_SEGMENT_LINETO.
# Path segment kind: move.
PDFIUM_MOVE_SEGMENT = 2  # Code. See PDFium, fpdf_edit.h: FPDF_SEGMENT_MOVETO.
# Text rendering modes that draw nothing.
INVISIBLE_RENDERING_MODES = (3, 7)  # Modes. See ISO 32000-1, table 106.

# ---- Characters and words ----

# Placeholder for a character that is omitted from the text.
NO_CHARACTER = 0  # Code point. See ISO/IEC 10646: U+0000, which no text contains.
# A soft hyphen that the page draws, which is read as a hyphen.
SOFT_HYPHEN = 0xAD  # Code point. See ISO/IEC 10646: U+00AD.
# Characters that end a word.
WHITE_SPACE = (  # Code points. See Unicode, property White_Space.
    *range(0x9, 0xE),
    0x20,
    0x85,
    0xA0,
    0x1680,
    *range(0x2000, 0x200B),
    0x2028,
    0x2029,
    0x202F,
    0x205F,
    0x3000,
)
# If a character's box is more than this many times as high as usual, the box of its drawn shape is used instead.
MAX_HEIGHT_RATIO = 6.0  # Ratio of heights. Chosen empirically; see commit f529e121.
# Letters with a wider gap between them than this belong to different words.
LETTER_GAP_RATIO = 0.5  # Fraction of the letters' height. Chosen empirically; see commit 93ad8549.
# An identical word drawn within this distance is treated as the same word drawn twice.
REDRAWN_OFFSET_RATIO = 0.1  # Fraction of the font size. Chosen empirically; see commit a9b66cc2.
# A character is a footnote number if its height is less than this fraction of the next character's height.
NOTE_MARK_HEIGHT_RATIO = 0.9  # Ratio of heights. Chosen empirically; see commit a9b66cc2.
# Maximum difference between the letter gaps within a word.
TOUCHING_GAP_RATIO = 0.03  # Fraction of the letters' height. Chosen empirically; see commit a9b66cc2.
# Fonts of at least this weight are bold.
MIN_BOLD_WEIGHT = 600  # Font weight. See OpenType 1.9, OS/2 usWeightClass: 600 is semi-bold.
# Text rotated by more than this from horizontal or vertical counts as slanted.
SLANTED_TURN = 0.1  # Quarter turns. Chosen empirically; see commit 93ad8549.
# Text smaller than this counts as hidden.
MIN_TYPE_SIZE = 1.0  # Points. Chosen empirically; see commit 93ad8549.

# ---- Rules, boxes and images ----

# Rules whose ends are at most this far apart are connected.
RULE_TOUCH_POINTS = 3.0  # Points. Chosen empirically; see commit 93ad8549.
# Parallel rules at most this far apart are treated as one rule.
SAME_RULE_POINTS = 2.0  # Points. Chosen empirically; see commit 93ad8549.
# A filled box of at most this thickness is treated as a rule.
MAX_RULE_THICKNESS = 3.0  # Points. Chosen empirically; see commit 93ad8549.
# A line shorter than this is treated as a dash or part of a letter.
MIN_RULE_LENGTH = 4.0  # Points. Chosen empirically; see commit 93ad8549.
# Forms nested more deeply than this are not read.
MAX_FORM_DEPTH = 6  # Forms. Chosen empirically; see commit 93ad8549.
# A page with more objects than this is treated as a map or plot, and its rules are ignored.
MAX_PAGE_OBJECTS = 50_000  # Objects. Chosen empirically; see commit 93ad8549.
# A path with more segments than this is not searched for rules.
MAX_PATH_SEGMENTS = 2_000  # Segments. Chosen empirically; see commit 93ad8549.
# An image with a shorter side than this is treated as a bullet, a rule or a spacer.
MIN_PICTURE_SIDE = 12.0  # Points. Chosen empirically; see commit 93ad8549.
# A filled box with a shorter side than this is too small for a line of text.
MIN_BOX_SIDE = 5.0  # Points. Chosen empirically; see commit 3850ba0d.
# A page with at least this many filled paths contains a chart, so its boxes are not table cells.
MAX_FILLED_BOXES = 800  # Boxes. Chosen empirically; see commit 3850ba0d.
# A path with more segments than this is not a box. A box has a move, four sides, and at most one more segment.
MAX_BOX_SEGMENTS = 6  # Segments. Chosen empirically; see commit 3850ba0d.
# A line whose ends are offset by at most this much counts as horizontal or vertical.
MAX_LINE_LEAN = 0.5  # Points. Chosen empirically; see commit 93ad8549.

# ---- Scanned pages ----

# A page is a scan if images cover at least this fraction of it.
SCAN_PAGE_SHARE = 0.5  # Fraction of the page's area. Chosen empirically; see commit 93ad8549.
# Font size of a recognized word, relative to the height of its line.
RECOGNIZED_TYPE_RATIO = 0.8  # Fraction of a line's height. Chosen empirically; see commit 93ad8549.
# A recognized line counts as larger text if it is more than this many times as high as usual.
RECOGNIZED_LARGER_RATIO = 1.5  # Ratio of heights. Chosen empirically; see commit 5a533728.

# ---- Rows and cells ----

# Words whose vertical extents overlap by at least this much are in the same row.
ROW_OVERLAP_RATIO = 0.5  # Fraction of the lower height. Chosen empirically; see commit 93ad8549.
# Words that overlap horizontally by more than this are on different lines.
STACKED_OVERLAP_RATIO = 0.5  # Fraction of the font size. Chosen empirically; see commit 793704d4.
# Number of rows above and below with which a word or gap is compared.
NEAR_ROWS = 3  # Rows. Chosen empirically; see commit f529e121.
# A gap this wide always separates two cells, because spaces in sentences are rarely this wide.
CELL_GAP_RATIO = 1.0  # Fraction of the font size. Chosen empirically; see commit 93ad8549.
# Assumed width of a space on a page with too few spaces to measure.
DEFAULT_BLANK_RATIO = 0.28  # Fraction of the font size. See Adobe Core 14 font metrics: Helvetica's space is 0.278.
# A gap narrower than this never separates cells.
MIN_CELL_GAP_RATIO = 0.4  # Fraction of the font size. Chosen empirically; see commit 3850ba0d.
# A gap between cells is at least this many times as wide as a space in its row. The space after a sentence is
# narrower.
CELL_GAP_BLANKS = 1.6  # Ratio to the usual space. Chosen empirically; see commit 3850ba0d.
# Two rows share a gap if their gaps overlap by at least this much.
SHARED_GAP_RATIO = 0.35  # Fraction of the font size. Chosen empirically; see commit 3850ba0d.
# If the widest gap in a row is less than this many times as wide as the narrowest, all its gaps are stretched spaces.
STRETCHED_GAPS_RATIO = 2.0  # Ratio of the widest gap to the narrowest. Chosen empirically; see commit 3850ba0d.
# The widths of the spaces in a justified line differ by less than this.
STRETCHED_GAPS_SPREAD = 0.2  # Fraction of the font size. Chosen empirically; see commit 1288406e.
# A row with at most this many gaps has too few to distinguish spaces from gaps between cells.
FEW_ROW_GAPS = 5  # Gaps. Chosen empirically; see commit 3850ba0d.
# A narrow gap separates cells if at least this many nearby rows share it.
MIN_ROWS_SHARING_GAP = 2  # Rows. Chosen empirically; see commit 3850ba0d.

# ---- Columns of text ----

# Width of a raster cell in the search for strips of white space.
RASTER_WIDTH = 2.0  # Points. Chosen empirically; see commit 93ad8549.
# Height of a raster cell in the same search.
RASTER_HEIGHT = 3.0  # Points. Chosen empirically; see commit 93ad8549.
# A strip of white space narrower than this is not a gutter.
MIN_GUTTER_WIDTH_RATIO = 0.6  # Fraction of the font size. Chosen empirically; see commit 93ad8549.
# A strip of white space shorter than this, about three lines, is not a gutter.
MIN_GUTTER_HEIGHT_RATIO = 4.0  # Ratio to the font size. Chosen empirically; see commit 93ad8549.
# Maximum number of strips per region that are tried as gutters.
MAX_GUTTER_TRIES = 5  # Strips. Chosen empirically; see commit f529e121.
# Maximum number of strips to examine per region, including strips at its edge.
MAX_STRIPS = 12  # Strips. Chosen empirically; see commit 3850ba0d.
# An empty space across both columns that is taller than this separates two bands.
BAND_GAP_RATIO = 0.8  # Fraction of the font size. Chosen empirically; see commit f529e121.
# Maximum depth of nested divisions into columns.
MAX_COLUMN_DEPTH = 8  # Cuts. Chosen empirically; see commit 93ad8549.
# In running text, the words of most lines fill at least this fraction of the column.
FULL_LINE_RATIO = 0.55  # Fraction of the column's width. Chosen empirically; see commit 93ad8549.
# Running text has at least this many words per line on average.
MIN_TEXT_LINE_WORDS = 2.5  # Words per line. Chosen empirically; see commit f529e121.
# In running text, at most this fraction of the words contain no letter.
MAX_TEXT_NUMBER_SHARE = 0.3  # Fraction of the words. Chosen empirically; see commit 93ad8549.
# A vertical strip of white space through at least this many lines is not a coincidence.
MIN_RIVER_LINES = 5  # Lines. Chosen empirically; see commit 3850ba0d.
# Maximum line spacing of running text.
MAX_TEXT_LINE_STEP_RATIO = 2.2  # Ratio to the font size. Chosen empirically; see commit 3850ba0d.
# Two columns belong to a table if at least this fraction of the rows on one side are level with a row on the other
# side.
BESIDE_ROWS_SHARE = 0.75  # Fraction of the rows. Chosen empirically; see commit 93ad8549.
# Maximum vertical offset between two rows that are level.
BESIDE_OFFSET_RATIO = 0.35  # Fraction of the font size. Chosen empirically; see commit 93ad8549.

# ---- Tables in drawn grids ----

# A cell edge counts as drawn if rules cover at least this fraction of it.
DRAWN_EDGE_SHARE = 0.8  # Fraction of an edge. Chosen empirically; see commit 93ad8549.
# If a smaller fraction of the edges is drawn, the crossing rules do not form a grid.
MIN_DRAWN_EDGES_SHARE = 0.5  # Fraction of a grid's edges. Chosen empirically; see commit 93ad8549.
# A page with more rules than this is not searched for grids.
MAX_PAGE_RULES = 1_500  # Rules. Chosen empirically; see commit 93ad8549.
# A grid with more than this fraction of its words in one cell may be a frame around text.
MAX_CELL_WORDS_SHARE = 0.6  # Fraction of a grid's words. Chosen empirically; see commit 93ad8549.
# Numbers this close above or below a coloured table belong to it.
GRID_NEAR_RATIO = 3.0  # Ratio to the font size. Chosen empirically; see commit 3850ba0d.
# A grid with most of its words in one cell is a frame only if that cell has more words than this.
FRAME_CELL_WORDS = 60  # Words. Chosen empirically; see commit 93ad8549.

# ---- Tables without a grid ----

# Maximum gap between two rows of a table.
MAX_TABLE_ROW_GAP_RATIO = 3.0  # Ratio to the font size. Chosen empirically; see commit 93ad8549.
# Minimum width of a gap between columns.
MIN_COLUMN_GAP_RATIO = 0.4  # Fraction of the font size. Chosen empirically; see commit 3850ba0d.
# The gap between two column headers must be at least this many times as wide as the gaps within them.
HEADER_GAP_WORD_GAPS = 1.2  # Ratio of gaps. Chosen empirically; see commit f529e121.
# Rules whose vertical positions differ by less than this are segments of one line.
SAME_RULE_LINE_POINTS = 1.0  # Points. Chosen empirically; see commit 1288406e.
# Maximum distance by which a header cell may extend beyond either end of its rule.
HEADER_OVERHANG_POINTS = 2.0  # Points. Chosen empirically; see commit 1288406e.
# A larger distance between rows than this, such as a blank row, ends the table.
MAX_TABLE_STEP_RATIO = 2.5  # Ratio to the usual row spacing. Chosen empirically; see commit 2e28c54a.
# Measure a table's usual row spacing only if there are at least this many row-to-row distances.
MIN_TABLE_STEPS = 3  # Distances. Chosen empirically; see commit 2e28c54a.
# More consecutive single-cell rows than this end the table.
MAX_LABEL_ROWS = 3  # Rows. Chosen empirically; see commit 93ad8549.
# A single-cell row wider than this is running text.
MAX_LABEL_WIDTH_SHARE = 0.7  # Fraction of the table's width. Chosen empirically; see commit 93ad8549.
# Maximum number of rows above a table that may be its header.
MAX_HEADER_ROWS = 4  # Rows. Chosen empirically; see commit 93ad8549.
# A cell that starts no further than this to the right of the labels is itself a label.
MAX_LABEL_INDENT_RATIO = 4.0  # Ratio to the font size. Chosen empirically; see commit f529e121.
# A row within this distance of a table may belong to it.
ADJOINING_STEP_RATIO = 1.3  # Ratio to the usual row spacing. Chosen empirically; see commit 3850ba0d.
# Lines closer together than this belong to the same cell.
CELL_LINE_STEP_RATIO = 0.85  # Ratio to the usual row spacing. Chosen empirically; see commit 3850ba0d.
# Words at most this far from a column edge are aligned with it.
COLUMN_EDGE_POINTS = 2.0  # Points. Chosen empirically; see commit 3850ba0d.
# Maximum fraction of the rows that may cross a gap between columns.
MAX_CROSSING_SHARE = 0.12  # Fraction of the rows with a gap. Chosen empirically; see commit 93ad8549.
# A rule at least this long spans all columns, so it says nothing about individual columns.
WHOLE_TABLE_RULE_SHARE = 0.9  # Fraction of the table's width. Chosen empirically; see commit 93ad8549.
# Rows without values do not form a table if half of their cells are at least this long.
MIN_PROSE_CHARS = 80  # Characters. Chosen empirically; see commit 93ad8549.

# ---- Tables of contents ----

# At least this many dots in a row form a leader from a title to its page number.
MIN_LEADER_DOTS = 3  # Dots. Chosen empirically; see commit f529e121.
# Minimum number of lines with ascending page numbers in a table of contents.
MIN_CONTENTS_LINES = 4  # Lines. Chosen empirically; see commit 3850ba0d. Four are in order by chance 1 time in 24.
# Minimum number of lines in a table of contents with leaders.
MIN_DOTTED_CONTENTS_LINES = 2  # Lines. Chosen empirically; see commit 3850ba0d.
# If at least this many lines follow a possible table header, treat them as a table of contents.
MIN_CONTENTS_LINES_BELOW_HEADER = 10  # Lines. Chosen empirically; see commit 3850ba0d.
# Page numbers are aligned if their edges or centers differ by at most this.
PAGE_NUMBER_EDGE_POINTS = 2.0  # Points. Chosen empirically; see commit 3850ba0d.
# Maximum distance between a header and the first line of a table of contents below it.
CONTENTS_HEADER_GAP_RATIO = 2.0  # Ratio to the font size. Chosen empirically; see commit 3850ba0d.
# Values of the Roman numerals used to number front matter.
ROMAN_NUMERALS = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}  # Numbers. Definition of Roman numerals.
# Subtracted from Roman page numbers, so that they sort before page 1.
FRONT_MATTER_OFFSET = 10_000  # Pages. Arithmetic: greater than any page number with four digits.

# ---- Running headers and footers ----

# Maximum number of lines at each edge of a page that may be running headers or footers.
MAX_RUNNING_LINES = 4  # Lines. Chosen empirically; see commit 93ad8549.
# A running header or footer appears on at least this many pages.
MIN_RUNNING_PAGES = 3  # Pages. Chosen empirically; see commit 93ad8549.
# The gap between a running header or footer and the text is wider than this.
RUNNING_LINE_GAP_RATIO = 0.5  # Fraction of the font size. Chosen empirically; see commit f529e121.
# A line whose font is more than this many times as large as on most pages is a title, not a running header.
RUNNING_TITLE_SIZE_RATIO = 1.3  # Ratio of font sizes. Chosen empirically; see commit d7ea20eb.
# A number with more digits than this is not a page number.
MAX_PAGE_NUMBER_DIGITS = 4  # Digits. Chosen empirically; see commit 93ad8549.
# Maximum number of numbers in a line that are tried as page numbers.
MAX_LINE_NUMBERS = 6  # Numbers. Chosen empirically; see commit 93ad8549.

# ---- Paragraphs ----

# A larger line spacing than this starts a new paragraph.
PARAGRAPH_STEP_RATIO = 1.25  # Ratio to the usual line spacing. Chosen empirically; see commit 93ad8549.
# A line that starts further to the right than this is indented.
INDENT_RATIO = 0.8  # Fraction of the font size. Chosen empirically; see commit 93ad8549.
# Font sizes that differ by at most this count as the same size.
SAME_SIZE_TOLERANCE = 0.06  # Fraction of the font size. Chosen empirically; see commit f529e121.
# A line is full if it ends closer to the edge of its column than this.
FULL_LINE_END_RATIO = 4.0  # Ratio to the font size. Chosen empirically; see commit f529e121.
# Measure the usual line spacing of a font size only if there are at least this many pairs of lines.
MIN_LINE_PAIRS = 8  # Pairs of lines. Chosen empirically; see commit 93ad8549.
# Assumed line spacing if there are too few pairs of lines to measure.
DEFAULT_LINE_STEP_RATIO = 1.25  # Ratio to the font size. Chosen empirically; see commit 93ad8549.
# Lines further apart than this are headings of one size, not double-spaced text.
MAX_PARAGRAPH_STEP_RATIO = 2.5  # Ratio to the font size. Chosen empirically; see commit b0587b14.

# ---- Headings ----

# Minimum ratio of a heading's font size to the font size of the body.
HEADING_MIN_SIZE_RATIO = 1.07  # Ratio of font sizes. Chosen empirically; see commit 93ad8549.
# A block with more characters than this is not a heading.
MAX_HEADING_CHARS = 250  # Characters. Chosen empirically; see commit 93ad8549.
# A block with more lines than this is not a heading.
MAX_HEADING_LINES = 4  # Lines. Chosen empirically; see commit 93ad8549.
# A font style whose blocks are usually longer than this is running text.
RUNNING_TEXT_CHARS = 120  # Characters. Chosen empirically; see commit 93ad8549.
# Deepest heading level. Headings at deeper levels also get this level.
MAX_HEADING_LEVEL = 6  # Levels. See CommonMark 0.31.2, section 4.2: six levels.
# Minimum number of capital letters in a heading in capitals.
MIN_CAPITALS = 4  # Letters. Chosen empirically; see commit 0c91309d.
# Maximum ratio of the letter widths in a monospaced line.
TYPEWRITER_WIDTH_RATIO = 1.02  # Ratio of the widest letter to the narrowest. Chosen empirically; see commit 0c91309d.
# If more than this fraction of the pages begin with a line in capitals, those lines are running headers.
RUNNING_CAPITALS_PAGE_SHARE = 1 / 4  # Fraction of the pages. Chosen empirically; see commit ecbc829b.
# If there is less text than this per line in capitals, those lines are speakers' names, not headings.
MIN_CHARS_PER_CAPITALS_LINE = 1_000  # Characters. Chosen empirically; see commit 0c91309d.
