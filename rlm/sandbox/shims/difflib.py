class Match:
    def __init__(self, a, b, size):
        self.a = a
        self.b = b
        self.size = size

    def __repr__(self):
        return f"Match(a={self.a}, b={self.b}, size={self.size})"

    def __iter__(self):
        return iter([self.a, self.b, self.size])


class SequenceMatcher:
    """Ratcliff and Obershelp's matching blocks, with the popularity rule for sequences of 200 and more."""

    def __init__(self, isjunk=None, a="", b="", autojunk=True):
        self._autojunk = autojunk
        self._isjunk = isjunk
        self.set_seqs(a, b)

    def set_seqs(self, a, b):
        self.a = a
        self.set_seq2(b)

    def set_seq1(self, a):
        self.a = a
        self._blocks = None

    def set_seq2(self, b):
        self.b = b
        self._blocks = None
        places = {}
        for at, element in enumerate(b):
            places.setdefault(element, []).append(at)
        if self._isjunk:
            places = {element: found for element, found in places.items() if not self._isjunk(element)}
        if self._autojunk and len(b) >= 200:
            most = len(b) // 100 + 1
            places = {element: found for element, found in places.items() if len(found) <= most}
        self._places = places

    def find_longest_match(self, alo=0, ahi=None, blo=0, bhi=None):
        a, b = self.a, self.b
        ahi = len(a) if ahi is None else ahi
        bhi = len(b) if bhi is None else bhi
        best_a, best_b, best = alo, blo, 0
        lengths = {}
        for at in range(alo, ahi):
            new = {}
            for other in self._places.get(a[at], ()):
                if other < blo:
                    continue
                if other >= bhi:
                    break
                length = lengths.get(other - 1, 0) + 1
                new[other] = length
                if length > best:
                    best_a, best_b, best = at - length + 1, other - length + 1, length
            lengths = new
        while best_a > alo and best_b > blo and a[best_a - 1] == b[best_b - 1]:
            best_a, best_b, best = best_a - 1, best_b - 1, best + 1
        while best_a + best < ahi and best_b + best < bhi and a[best_a + best] == b[best_b + best]:
            best += 1
        return Match(best_a, best_b, best)

    def get_matching_blocks(self):
        if self._blocks is not None:
            return self._blocks
        waiting = [(0, len(self.a), 0, len(self.b))]
        found = []
        while waiting:
            alo, ahi, blo, bhi = waiting.pop()
            match = self.find_longest_match(alo, ahi, blo, bhi)
            if match.size:
                found.append((match.a, match.b, match.size))
                waiting.append((alo, match.a, blo, match.b))
                waiting.append((match.a + match.size, ahi, match.b + match.size, bhi))
        merged = []
        for a, b, size in sorted(found):
            if merged and merged[-1][0] + merged[-1][2] == a and merged[-1][1] + merged[-1][2] == b:
                merged[-1] = (merged[-1][0], merged[-1][1], merged[-1][2] + size)
            else:
                merged.append((a, b, size))
        merged.append((len(self.a), len(self.b), 0))
        self._blocks = [Match(a, b, size) for a, b, size in merged]
        return self._blocks

    def ratio(self):
        length = len(self.a) + len(self.b)
        return 2.0 * sum([block.size for block in self.get_matching_blocks()]) / length if length else 1.0

    def quick_ratio(self):
        left = {}
        for element in self.b:
            left[element] = left.get(element, 0) + 1
        common = 0
        for element in self.a:
            if left.get(element, 0) > 0:
                left[element] -= 1
                common += 1
        length = len(self.a) + len(self.b)
        return 2.0 * common / length if length else 1.0

    def real_quick_ratio(self):
        length = len(self.a) + len(self.b)
        return 2.0 * min(len(self.a), len(self.b)) / length if length else 1.0

    def get_opcodes(self):
        at_a = at_b = 0
        codes = []
        for block in self.get_matching_blocks():
            if at_a < block.a and at_b < block.b:
                codes.append(("replace", at_a, block.a, at_b, block.b))
            elif at_a < block.a:
                codes.append(("delete", at_a, block.a, at_b, block.b))
            elif at_b < block.b:
                codes.append(("insert", at_a, block.a, at_b, block.b))
            at_a, at_b = block.a + block.size, block.b + block.size
            if block.size:
                codes.append(("equal", block.a, at_a, block.b, at_b))
        return codes


def get_close_matches(word, possibilities, n=3, cutoff=0.6):
    matcher = SequenceMatcher()
    matcher.set_seq2(word)
    scored = []
    for each in possibilities:
        matcher.set_seq1(each)
        if matcher.real_quick_ratio() >= cutoff and matcher.quick_ratio() >= cutoff and matcher.ratio() >= cutoff:
            scored.append((matcher.ratio(), each))
    return [each for _, each in sorted(scored, reverse=True)[:n]]
