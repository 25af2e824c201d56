"""Put the boxes on a slide in reading order, by recursively cutting the slide along empty bands.

Source: Nagy & Seth, "Hierarchical representation of optically scanned documents", ICPR 1984 (XY cut).
"""

from collections.abc import Callable, Sequence

from ingest.storage.texts.positions import Box

# Fraction of a frame that is ignored at each edge. Frames are larger than their text, so neighboring frames may
# overlap. Therefore only the middle half of each frame is considered.
_EDGE = 0.25


def compute_reading_order(boxes: Sequence[Box]) -> list[int]:
    """Return the indices of the boxes in reading order, row by row.

    A complete grid with at least as many columns as rows is read column by column, because each column usually has a
    title.
    """
    return _order_by_cuts(list(range(len(boxes))), boxes)


def _order_by_cuts(indices: list[int], boxes: Sequence[Box]) -> list[int]:
    rows = _group_into_bands(indices, lambda index: _get_vertical_extent(boxes[index]))
    columns = _group_into_bands(indices, lambda index: _get_horizontal_extent(boxes[index]))
    is_grid = len(columns) >= len(rows) and all(len(row) >= len(columns) for row in rows)
    bands = columns if is_grid and len(columns) > 1 else rows if len(rows) > 1 else columns
    if len(bands) > 1:
        return [index for band in bands for index in _order_by_cuts(band, boxes)]
    return sorted(indices, key=lambda index: (boxes[index].top, boxes[index].left))


def _group_into_bands(indices: list[int], get_extent: Callable[[int], tuple[float, float]]) -> list[list[int]]:
    """Group the boxes whose extents overlap in one direction, and return the indices of each group."""
    bands: list[list[int]] = []
    end = 0.0
    for index in sorted(indices, key=get_extent):
        start, stop = get_extent(index)
        if bands and start < end:
            bands[-1].append(index)
            end = max(end, stop)
        else:
            bands.append([index])
            end = stop
    return bands


def _get_vertical_extent(box: Box) -> tuple[float, float]:
    edge = (box.bottom - box.top) * _EDGE
    return box.top + edge, box.bottom - edge


def _get_horizontal_extent(box: Box) -> tuple[float, float]:
    edge = (box.right - box.left) * _EDGE
    return box.left + edge, box.right - edge
