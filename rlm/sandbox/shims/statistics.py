import math as _math
from collections import Counter as _Counter


StatisticsError = ValueError


def _to_list(values, at_least, what):
    values = list(values)
    if len(values) < at_least:
        raise ValueError(f"{what} requires at least {'one data point' if at_least == 1 else 'two data points'}")
    return values


def mean(data):
    values = _to_list(data, 1, "mean")
    total = sum(values) if all(isinstance(value, int) for value in values) else _math.fsum(values)
    if isinstance(total, int) and total % len(values) == 0:
        return total // len(values)
    return total / len(values)


def fmean(data, weights=None):
    values = [float(value) for value in _to_list(data, 1, "fmean")]
    if weights is None:
        return _math.fsum(values) / len(values)
    weights = list(weights)
    return _math.fsum([value * weight for value, weight in zip(values, weights)]) / _math.fsum(weights)


def geometric_mean(data):
    return _math.exp(fmean([_math.log(value) for value in data]))


def harmonic_mean(data):
    values = _to_list(data, 1, "harmonic_mean")
    return len(values) / _math.fsum([1 / value for value in values])


def median(data):
    values = sorted(_to_list(data, 1, "median"))
    half = len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2


def median_low(data):
    values = sorted(_to_list(data, 1, "median_low"))
    return values[(len(values) - 1) // 2]


def median_high(data):
    values = sorted(_to_list(data, 1, "median_high"))
    return values[len(values) // 2]


def mode(data):
    return _Counter(_to_list(data, 1, "mode")).most_common(1)[0][0]


def multimode(data):
    counts = _Counter(data)
    most = max(counts.values(), default=0)
    return [value for value, count in counts.items() if count == most]


def pvariance(data, mu=None):
    values = _to_list(data, 1, "pvariance")
    centre = mean(values) if mu is None else mu
    return mean([(value - centre) ** 2 for value in values])


def variance(data, xbar=None):
    values = _to_list(data, 2, "variance")
    centre = mean(values) if xbar is None else xbar
    total = _math.fsum([(value - centre) ** 2 for value in values]) / (len(values) - 1)
    whole = all(isinstance(value, int) for value in values)
    return int(total) if whole and total == int(total) else total


def pstdev(data, mu=None):
    return _math.sqrt(pvariance(data, mu))


def stdev(data, xbar=None):
    return _math.sqrt(variance(data, xbar))


def quantiles(data, *, n=4, method="exclusive"):
    values = sorted(_to_list(data, 2, "quantiles"))
    size = len(values)
    cuts = []
    for cut in range(1, n):
        if method == "inclusive":
            at, rest = divmod(cut * (size - 1), n)
            cuts.append((values[at] * (n - rest) + values[min(at + 1, size - 1)] * rest) / n)
        else:
            at = min(max(cut * (size + 1) // n, 1), size - 1)
            rest = cut * (size + 1) - at * n
            cuts.append((values[at - 1] * (n - rest) + values[at] * rest) / n)
    return cuts


def correlation(x, y):
    x, y = list(x), list(y)
    mean_x, mean_y = fmean(x), fmean(y)
    both = _math.fsum([(a - mean_x) * (b - mean_y) for a, b in zip(x, y)])
    alone = _math.fsum([(a - mean_x) ** 2 for a in x]) * _math.fsum([(b - mean_y) ** 2 for b in y])
    return both / _math.sqrt(alone)
