"""Thresholds for reading the layout of a PDF, each with its unit and source.

The comment above a constant states its purpose; the comment after it gives its unit and source. Most values were chosen
by eye in the named commit and are not based on measurements. Before changing one, compare results on documents that it
was not tuned on. If a change affects the extracted text, also change `PDF_PARSER`. A point is 1/72 inch.
"""


# ---- Opening a file and its limits ----

# The end-of-file mark of a complete file begins within this many bytes of the end of the file.
FILE_TAIL_BYTES = 65_536  # bytes; chosen by eye, commit f01216f4
# Error codes: PDFium cannot open the file without a password.
PDFIUM_PASSWORD_ERRORS = frozenset({4, 5})  # codes; PDFium, fpdfview.h: FPDF_ERR_PASSWORD, FPDF_ERR_SECURITY
# At most this many entries of the outline are read.
MAX_BOOKMARKS = 20_000  # bookmarks; chosen by eye, commit 93ad8549
# Outline entries nested deeper than this are not read.
MAX_BOOKMARK_DEPTH = 12  # levels; chosen by eye, commit 93ad8549
# The number of pages held in memory together. Running headers and line spacing are learned for each such window.
WINDOW_PAGES = 128  # pages; chosen by eye, commit 93ad8549
# If a document is longer than a window, the type of its body text is learned from this many pages.
TYPE_SAMPLE_PAGES = 64  # pages; chosen by eye, commit 93ad8549
# At most this many annotations of a page are read.
MAX_PAGE_ANNOTATIONS = 5_000  # annotations; chosen by eye, commit 93ad8549
# An annotation with one of these flags is not shown: Hidden, NoView.
ANNOTATION_HIDDEN_FLAGS = 0x02 | 0x20  # bits; ISO 32000-1, table 165

# ---- PDFium's codes ----

# PDFium's code for a hyphen that divides a word at a line end.
PDFIUM_HYPHEN = 0x2  # code point; PDFium, cpdf_textpage.cpp
# PDFium's code for a hyphen that divides a word at a line end, in the text of a whole page.
PDFIUM_HYPHEN_IN_TEXT = 0xFFFE  # code point; PDFium, cpdf_textpage.cpp
# Page object kind: path.
PDFIUM_PATH_OBJECT = 2  # code; PDFium, fpdf_edit.h: FPDF_PAGEOBJ_PATH
# Page object kind: image.
PDFIUM_IMAGE_OBJECT = 3  # code; PDFium, fpdf_edit.h: FPDF_PAGEOBJ_IMAGE
# Page object kind: shading.
PDFIUM_SHADING_OBJECT = 4  # code; PDFium, fpdf_edit.h: FPDF_PAGEOBJ_SHADING
# Page object kind: form, which contains other objects.
PDFIUM_FORM_OBJECT = 5  # code; PDFium, fpdf_edit.h: FPDF_PAGEOBJ_FORM
# Path segment kind: line.
PDFIUM_LINE_SEGMENT = 0  # code; PDFium, fpdf_edit.h: FPDF_SEGMENT_LINETO
# Path segment kind: move.
PDFIUM_MOVE_SEGMENT = 2  # code; PDFium, fpdf_edit.h: FPDF_SEGMENT_MOVETO
# Text rendering modes that draw nothing.
INVISIBLE_RENDERING_MODES = (3, 7)  # modes; ISO 32000-1, table 106

# ---- Characters and words ----

# The code that replaces a character to be omitted.
NO_CHARACTER = 0  # code point; ISO/IEC 10646: U+0000, which no text contains
# A soft hyphen that the page draws is read as a hyphen.
SOFT_HYPHEN = 0xAD  # code point; ISO/IEC 10646: U+00AD
# Characters that end a word.
WHITE_SPACE = (  # code points; Unicode, property White_Space
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
# If a character's box is this many times as high as usual, the box of its drawn shape is used instead.
MAX_HEIGHT_RATIO = 6.0  # ratio of heights; chosen by eye, commit f529e121
# If the gap between two letters is wider than this, they belong to different words.
LETTER_GAP_RATIO = 0.5  # fraction of the letters' height; chosen by eye, commit 93ad8549
# An equal word drawn within this distance is the same word drawn twice.
REDRAWN_OFFSET_RATIO = 0.1  # fraction of the type size; chosen by eye, commit a9b66cc2
# A character whose height is less than this fraction of the next character's height is the small number of a note.
NOTE_MARK_HEIGHT_RATIO = 0.9  # ratio of heights; chosen by eye, commit a9b66cc2
# The gaps between the letters of a word differ by at most this.
TOUCHING_GAP_RATIO = 0.03  # fraction of the letters' height; chosen by eye, commit a9b66cc2
# A font of this weight or more is bold.
MIN_BOLD_WEIGHT = 600  # font weight; OpenType 1.9, OS/2 usWeightClass: 600 is semi-bold
# Text that is rotated from horizontal or vertical by more than this is slanted.
SLANTED_TURN = 0.1  # quarter turns; chosen by eye, commit 93ad8549
# Type that is smaller than this counts as hidden.
MIN_TYPE_SIZE = 1.0  # points; chosen by eye, commit 93ad8549

# ---- Rules, boxes and pictures ----

# Rules whose ends are this close meet.
RULE_TOUCH_POINTS = 3.0  # points; chosen by eye, commit 93ad8549
# Parallel rules this close are one rule.
SAME_RULE_POINTS = 2.0  # points; chosen by eye, commit 93ad8549
# A filled box of at most this thickness is a rule.
MAX_RULE_THICKNESS = 3.0  # points; chosen by eye, commit 93ad8549
# A line that is shorter than this is a dash or a part of a letter.
MIN_RULE_LENGTH = 4.0  # points; chosen by eye, commit 93ad8549
# Forms that are nested deeper than this are not read.
MAX_FORM_DEPTH = 6  # forms; chosen by eye, commit 93ad8549
# A page with more objects is a map or a plot: its rules are ignored.
MAX_PAGE_OBJECTS = 50_000  # objects; chosen by eye, commit 93ad8549
# A path with more segments has no rules.
MAX_PATH_SEGMENTS = 2_000  # segments; chosen by eye, commit 93ad8549
# A picture with a shorter side is a bullet, a rule or a spacer.
MIN_PICTURE_SIDE = 12.0  # points; chosen by eye, commit 93ad8549
# A filled box with a side shorter than this is too small for a line of text.
MIN_BOX_SIDE = 5.0  # points; chosen by eye, commit 3850ba0d
# A page with this many filled paths has a chart, so its boxes are not cells.
MAX_FILLED_BOXES = 800  # boxes; chosen by eye, commit 3850ba0d
# A path with more segments is not a box: a move, four sides, and one to spare.
MAX_BOX_SEGMENTS = 6  # segments; chosen by eye, commit 3850ba0d
# A line whose ends are offset by at most this counts as horizontal or vertical.
MAX_LINE_LEAN = 0.5  # points; chosen by eye, commit 93ad8549

# ---- Pages that are pictures ----

# A page is a scan if pictures cover at least this fraction of it.
SCAN_PAGE_SHARE = 0.5  # fraction of the page's area; chosen by eye, commit 93ad8549
# The type size of a recognized word, relative to the height of its line.
RECOGNIZED_TYPE_RATIO = 0.8  # fraction of a line's height; chosen by eye, commit 93ad8549
# A recognized line that is this many times as high as usual is in larger type.
RECOGNIZED_LARGER_RATIO = 1.5  # ratio of heights; chosen by eye, commit 5a533728

# ---- Rows and cells ----

# Words whose vertical extents overlap by this much are in the same row.
ROW_OVERLAP_RATIO = 0.5  # fraction of the lower height; chosen by eye, commit 93ad8549
# Words that overlap horizontally by more than this are on two lines.
STACKED_OVERLAP_RATIO = 0.5  # fraction of the type size; chosen by eye, commit 793704d4
# The number of rows above and below with which a word or a gap is compared.
NEAR_ROWS = 3  # rows; chosen by eye, commit f529e121
# A gap this wide always separates two cells; a space in a sentence hardly ever is this wide.
CELL_GAP_RATIO = 1.0  # fraction of the type size; chosen by eye, commit 93ad8549
# The assumed width of a space on a page with too few spaces to measure.
DEFAULT_BLANK_RATIO = 0.28  # fraction of the type size; Adobe Core 14 font metrics: Helvetica's space is 0.278
# A gap that is narrower than this never separates cells.
MIN_CELL_GAP_RATIO = 0.4  # fraction of the type size; chosen by eye, commit 3850ba0d
# A gap between cells is wider than this many spaces in its row. The space after a sentence is narrower.
CELL_GAP_BLANKS = 1.6  # ratio to a usual blank; chosen by eye, commit 3850ba0d
# Two rows share a gap if their gaps overlap by at least this much.
SHARED_GAP_RATIO = 0.35  # fraction of the type size; chosen by eye, commit 3850ba0d
# Below this ratio, all gaps of a row are stretched spaces.
STRETCHED_GAPS_RATIO = 2.0  # ratio of the widest gap to the narrowest; chosen by eye, commit 3850ba0d
# The widths of the spaces in a stretched line differ by less than this.
STRETCHED_GAPS_SPREAD = 0.2  # fraction of the type size; chosen by eye, commit 1288406e
# A row with at most this many gaps has too few to distinguish spaces from gaps between cells.
FEW_ROW_GAPS = 5  # gaps; chosen by eye, commit 3850ba0d
# A narrow gap separates cells if at least this many nearby rows share it.
MIN_ROWS_SHARING_GAP = 2  # rows; chosen by eye, commit 3850ba0d

# ---- Columns of text ----

# Width of a raster cell in the search for white strips.
RASTER_WIDTH = 2.0  # points; chosen by eye, commit 93ad8549
# Height of a raster cell.
RASTER_HEIGHT = 3.0  # points; chosen by eye, commit 93ad8549
# A white strip that is narrower than this is not a gutter.
MIN_GUTTER_WIDTH_RATIO = 0.6  # fraction of the type size; chosen by eye, commit 93ad8549
# A white strip that is shorter than this, about three lines, is not a gutter.
MIN_GUTTER_HEIGHT_RATIO = 4.0  # ratio to the type size; chosen by eye, commit 93ad8549
# The number of a region's white strips that are tried as gutters.
MAX_GUTTER_TRIES = 5  # strips; chosen by eye, commit f529e121
# The number of white strips that are examined, including strips at the edge of a region.
MAX_STRIPS = 12  # strips; chosen by eye, commit 3850ba0d
# An empty band across both columns that is taller than this ends a band of columns.
BAND_GAP_RATIO = 0.8  # fraction of the type size; chosen by eye, commit f529e121
# Maximum nesting of cuts into columns.
MAX_COLUMN_DEPTH = 8  # cuts; chosen by eye, commit 93ad8549
# In most lines of running text, words take up at least this fraction of the column.
FULL_LINE_RATIO = 0.55  # fraction of the column's width; chosen by eye, commit 93ad8549
# Running text has at least this many words per line on average.
MIN_TEXT_LINE_WORDS = 2.5  # words a line; chosen by eye, commit f529e121
# In running text, at most this fraction of the words have no letter.
MAX_TEXT_NUMBER_SHARE = 0.3  # fraction of the words; chosen by eye, commit 93ad8549
# A vertical strip of white space through at least this many lines is not a coincidence.
MIN_RIVER_LINES = 5  # lines; chosen by eye, commit 3850ba0d
# Lines of running text are at most this far apart.
MAX_TEXT_LINE_STEP_RATIO = 2.2  # ratio to the type size; chosen by eye, commit 3850ba0d
# Two columns belong to a table if at least this fraction of the rows on one side are at the height of a row on the
# other.
BESIDE_ROWS_SHARE = 0.75  # fraction of the rows; chosen by eye, commit 93ad8549
# Rows at the same height differ in vertical position by at most this.
BESIDE_OFFSET_RATIO = 0.35  # fraction of the type size; chosen by eye, commit 93ad8549

# ---- Tables in drawn grids ----

# An edge of a cell counts as drawn if rules cover at least this much of it.
DRAWN_EDGE_SHARE = 0.8  # fraction of an edge; chosen by eye, commit 93ad8549
# If fewer edges than this are drawn, crossing rules are not a grid.
MIN_DRAWN_EDGES_SHARE = 0.5  # fraction of a grid's edges; chosen by eye, commit 93ad8549
# On a page with more rules than this, grids are not searched for.
MAX_PAGE_RULES = 1_500  # rules; chosen by eye, commit 93ad8549
# A grid with more than this fraction of its words in one cell may be a frame around text.
MAX_CELL_WORDS_SHARE = 0.6  # fraction of a grid's words; chosen by eye, commit 93ad8549
# Numbers this close above or below a coloured table belong to it.
GRID_NEAR_RATIO = 3.0  # ratio to the type size; chosen by eye, commit 3850ba0d
# A grid with most of its words in one cell is a frame only if that cell has more words than this.
FRAME_CELL_WORDS = 60  # words; chosen by eye, commit 93ad8549

# ---- Tables without a grid ----

# The rows of a table are at most this far apart.
MAX_TABLE_ROW_GAP_RATIO = 3.0  # ratio to the type size; chosen by eye, commit 93ad8549
# A gap between columns is at least this wide.
MIN_COLUMN_GAP_RATIO = 0.4  # fraction of the type size; chosen by eye, commit 3850ba0d
# A gap between two column headers is at least this many times as wide as the gaps within them.
HEADER_GAP_WORD_GAPS = 1.2  # ratio of gaps; chosen by eye, commit f529e121
# Rules whose heights on the page differ by less than this are one line with gaps.
SAME_RULE_LINE_POINTS = 1.0  # points; chosen by eye, commit 1288406e
# A header cell may extend this far beyond the end of its rule.
HEADER_OVERHANG_POINTS = 2.0  # points; chosen by eye, commit 1288406e
# A step that is larger than this, such as a blank row, ends the table.
MAX_TABLE_STEP_RATIO = 2.5  # ratio to the usual row spacing; chosen by eye, commit 2e28c54a
# The usual row spacing of a table is measured only if there are at least this many steps.
MIN_TABLE_STEPS = 3  # steps; chosen by eye, commit 2e28c54a
# More consecutive rows of a single cell than this end the table.
MAX_LABEL_ROWS = 3  # rows; chosen by eye, commit 93ad8549
# A row of a single cell that is wider than this is running text.
MAX_LABEL_WIDTH_SHARE = 0.7  # fraction of the table's width; chosen by eye, commit 93ad8549
# At most this many rows above a table may be its header.
MAX_HEADER_ROWS = 4  # rows; chosen by eye, commit 93ad8549
# A cell that starts no further than this to the right of the labels is itself a label.
MAX_LABEL_INDENT_RATIO = 4.0  # ratio to the type size; chosen by eye, commit f529e121
# A row within this distance of the table may belong to it.
ADJOINING_STEP_RATIO = 1.3  # ratio to the usual row spacing; chosen by eye, commit 3850ba0d
# Lines closer than this belong to one cell.
CELL_LINE_STEP_RATIO = 0.85  # ratio to the usual row spacing; chosen by eye, commit 3850ba0d
# Words this close to an edge of a column are aligned to it.
COLUMN_EDGE_POINTS = 2.0  # points; chosen by eye, commit 3850ba0d
# At most this fraction of the rows may cross a gap between columns.
MAX_CROSSING_SHARE = 0.12  # fraction of the rows that have a gap; chosen by eye, commit 93ad8549
# A rule of at least this length is under all columns and gives no information about a single column.
WHOLE_TABLE_RULE_SHARE = 0.9  # fraction of the table's width; chosen by eye, commit 93ad8549
# Rows without values are not a table if half of their cells are at least this long.
MIN_PROSE_CHARS = 80  # characters; chosen by eye, commit 93ad8549

# ---- Tables of contents ----

# This many dots in a row are a leader from a title to its page.
MIN_LEADER_DOTS = 3  # dots; chosen by eye, commit f529e121
# At least this many page numbers in ascending order indicate a table of contents.
MIN_CONTENTS_LINES = 4  # lines; chosen by eye, commit 3850ba0d: by chance, four are in order 1 time in 24
# At least this many lines indicate a table of contents if leaders point to the page numbers.
MIN_DOTTED_CONTENTS_LINES = 2  # lines; chosen by eye, commit 3850ba0d
# If at least this many lines follow a possible table header, they are a table of contents.
MIN_CONTENTS_LINES_BELOW_HEADER = 10  # lines; chosen by eye, commit 3850ba0d
# Page numbers are aligned if their edges or middles differ by at most this.
PAGE_NUMBER_EDGE_POINTS = 2.0  # points; chosen by eye, commit 3850ba0d
# A header is at most this far above the first line.
CONTENTS_HEADER_GAP_RATIO = 2.0  # ratio to the type size; chosen by eye, commit 3850ba0d
# Values of the Roman numerals that number front matter.
ROMAN_NUMERALS = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}  # numbers; definition of Roman numerals
# Subtracted from Roman page numbers, so that they come before page 1.
FRONT_MATTER_OFFSET = 10_000  # pages; arithmetic: above every page number of four digits

# ---- Running headers and footers ----

# At most this many lines at each edge of a page may be running headers or footers.
MAX_RUNNING_LINES = 4  # lines; chosen by eye, commit 93ad8549
# A running header or footer appears on at least this many pages.
MIN_RUNNING_PAGES = 3  # pages; chosen by eye, commit 93ad8549
# A running header or footer is further away from the text than this.
RUNNING_LINE_GAP_RATIO = 0.5  # fraction of the type size; chosen by eye, commit f529e121
# A line whose type is this many times as large as on most pages is a title, not a running header.
RUNNING_TITLE_SIZE_RATIO = 1.3  # ratio of type sizes; chosen by eye, commit d7ea20eb
# A number with more digits than this is not a page number.
MAX_PAGE_NUMBER_DIGITS = 4  # digits; chosen by eye, commit 93ad8549
# At most this many numbers in a line are tried as page numbers.
MAX_LINE_NUMBERS = 6  # numbers; chosen by eye, commit 93ad8549

# ---- Paragraphs ----

# A line spacing that is larger than this starts a new paragraph.
PARAGRAPH_STEP_RATIO = 1.25  # ratio to the usual line spacing; chosen by eye, commit 93ad8549
# A line that starts further to the right than this is indented.
INDENT_RATIO = 0.8  # fraction of the type size; chosen by eye, commit 93ad8549
# Type sizes that differ by at most this count as the same size.
SAME_SIZE_TOLERANCE = 0.06  # fraction of the type size; chosen by eye, commit f529e121
# A full line ends closer to the edge of its column than this.
FULL_LINE_END_RATIO = 4.0  # ratio to the type size; chosen by eye, commit f529e121
# The usual line spacing of a type size is measured only if there are at least this many pairs of lines.
MIN_LINE_PAIRS = 8  # pairs of lines; chosen by eye, commit 93ad8549
# The assumed line spacing if there are too few pairs of lines to measure.
DEFAULT_LINE_STEP_RATIO = 1.25  # ratio to the type size; chosen by eye, commit 93ad8549
# Lines that are further apart than this are headings of one size, not double-spaced text.
MAX_PARAGRAPH_STEP_RATIO = 2.5  # ratio to the type size; chosen by eye, commit b0587b14

# ---- Headings ----

# A heading's type is at least this many times as large as the body's type.
HEADING_MIN_SIZE_RATIO = 1.07  # ratio of type sizes; chosen by eye, commit 93ad8549
# A block with more characters than this is not a heading.
MAX_HEADING_CHARS = 250  # characters; chosen by eye, commit 93ad8549
# A block with more lines than this is not a heading.
MAX_HEADING_LINES = 4  # lines; chosen by eye, commit 93ad8549
# A type style whose blocks are usually longer than this is running text.
RUNNING_TEXT_CHARS = 120  # characters; chosen by eye, commit 93ad8549
# The deepest heading level; headings at deeper levels also get this level.
MAX_HEADING_LEVEL = 6  # levels; CommonMark 0.31.2, section 4.2: six levels
# A heading in capitals has at least this many capital letters.
MIN_CAPITALS = 4  # letters; chosen by eye, commit 0c91309d
# A line is monospaced if the widths of its letters have at most this ratio.
TYPEWRITER_WIDTH_RATIO = 1.02  # ratio of the widest letter to the narrowest; chosen by eye, commit 0c91309d
# If more pages than this begin with a line in capitals, those lines are running headers.
RUNNING_CAPITALS_PAGE_SHARE = 1 / 4  # fraction of the pages; chosen by eye, commit ecbc829b
# If there is less text than this per line in capitals, those lines are speakers' names, not headings.
MIN_CHARS_PER_CAPITALS_LINE = 1_000  # characters; chosen by eye, commit 0c91309d
