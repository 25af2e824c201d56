import re as _re


def _split_pieces(text):
    return [piece for piece in _re.split("([ ]+|(?<=[a-zA-Z])-(?=[a-zA-Z]))", text) if piece]


def _split_chunks(text):
    """Split text into words, each with the hyphen at which a line may end, and the spaces between them."""
    chunks = []
    for piece in _split_pieces(text):
        if piece == "-" and chunks:
            chunks[-1] += piece
        else:
            chunks.append(piece)
    return chunks


def wrap(
    text,
    width=70,
    *,
    initial_indent="",
    subsequent_indent="",
    break_long_words=True,
    max_lines=None,
    placeholder=" [...]",
):
    chunks = _split_chunks(_re.sub("[\\t\\n\\x0b\\x0c\\r]", " ", text.replace("\t", "        ")).strip(" "))
    chunks.reverse()
    lines = []
    while chunks:
        indent = subsequent_indent if lines else initial_indent
        room = width - len(indent)
        if lines and not chunks[-1].strip():
            chunks.pop()
            continue
        line = []
        length = 0
        while chunks and length + len(chunks[-1]) <= room:
            length += len(chunks[-1])
            line.append(chunks.pop())
        if chunks and len(chunks[-1]) > room and (break_long_words or not line):
            space = room - length
            if break_long_words and space > 0:
                line.append(chunks[-1][:space])
                chunks[-1] = chunks[-1][space:]
            elif not line:
                line.append(chunks.pop())
        if line and not line[-1].strip():
            line.pop()
        if not line:
            continue
        if max_lines is not None and len(lines) + 1 == max_lines and [chunk for chunk in chunks if chunk.strip()]:
            while line and len("".join(line)) + len(placeholder) > room:
                line.pop()
            lines.append(indent + "".join(line).rstrip() + placeholder)
            return lines
        lines.append(indent + "".join(line))
    return lines


def fill(text, width=70, **options):
    return "\n".join(wrap(text, width, **options))


def shorten(text, width, *, placeholder=" [...]"):
    words = text.split()
    if len(" ".join(words)) <= width:
        return " ".join(words)
    while words and len(" ".join(words)) + len(placeholder) > width:
        words.pop()
    return " ".join(words) + placeholder if words else placeholder.strip()


def dedent(text):
    lines = [line if line.strip() else "" for line in text.split("\n")]
    margin = None
    for line in lines:
        if line:
            indent = line[: len(line) - len(line.lstrip(" \t"))]
            if margin is None:
                margin = indent
            while not indent.startswith(margin):
                margin = margin[:-1]
    return "\n".join([line[len(margin or "") :] for line in lines])


def indent(text, prefix, predicate=None):
    lines = []
    for line in text.splitlines(keepends=True):
        wanted = predicate(line) if predicate else line.strip()
        lines.append(prefix + line if wanted else line)
    return "".join(lines)
