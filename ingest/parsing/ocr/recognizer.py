"""Recognize the words in a picture of any orientation, with rapidocr's models on OpenVINO."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.storage.remarks import Remark

OCR_PARSER = "pp-ocrv6-small-1"
INSTALL_HINT = Remark("hint_install_ocr")
Picture = NDArray[np.uint8]  # An array of rows, columns, and red, green and blue values.
_DETECTOR, _READER = "PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx"
# Maximum side length of a picture, about that of A4 at 200 dots per inch. Larger pictures are scaled down, because
# recognition at a higher resolution is slower but not better.
_MAX_SIDE_PIXELS = 2_400
_JUDGED_LINES = 8  # Number of the longest lines in a picture from which the picture's orientation is determined.


@dataclass(frozen=True)
class RecognizedText:
    """A word with its bounding box, as fractions of the picture measured from the top left.

    `turn` is the number of counterclockwise quarter turns of its line: with 1, the line reads from bottom to top.
    """

    text: str
    left: float
    top: float
    right: float
    bottom: float
    turn: int


@dataclass(frozen=True)
class _RecognizedLine:
    """A line of text: its bounding box in pixels, its confidence, and its words with their boxes."""

    left: float
    top: float
    right: float
    bottom: float
    score: float
    words: tuple[tuple[str, tuple[float, float, float, float]], ...]


@cache
def is_ocr_installed() -> bool:
    """Return whether the `ocr` extra is installed."""
    return find_spec("rapidocr") is not None


@cache
def get_recognizer() -> "Recognizer":
    """Return the recognizer, whose models are loaded once per process."""
    return Recognizer()


class Recognizer:
    """Recognizes words in pictures. Creating it loads the models."""

    def __init__(self) -> None:
        # OpenVINO's telemetry module would write to the home folder and report usage. OpenVINO also runs without it.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
        import cv2
        import rapidocr

        cv2.setNumThreads(1)
        models, engine = Path(str(rapidocr.__file__)).parent / "models", rapidocr.EngineType.OPENVINO
        self._engine: Any = rapidocr.RapidOCR(
            params={
                "Global.log_level": "critical",
                "Global.use_cls": False,  # The lines are upright, because the picture has been rotated.
                "Global.return_word_box": True,
                "Global.max_side_len": _MAX_SIDE_PIXELS,
                **{f"{part}.engine_type": engine for part in ("Det", "Cls", "Rec")},
                "Det.model_path": str(models / _DETECTOR),
                "Rec.model_path": str(models / _READER),
                "EngineConfig.openvino.inference_num_threads": 1,
                "EngineConfig.openvino.num_streams": 1,
            }
        )

    def iter_words(self, picture: Picture) -> Iterator[RecognizedText]:
        """Yield the words in a picture, line by line."""
        lines = self._recognize_lines(picture)
        turn = self._detect_rotation(picture, lines)
        if turn:
            lines = self._recognize_lines(np.ascontiguousarray(np.rot90(picture, -turn)))
        height, width = picture.shape[:2]
        for line in lines:
            for text, box in line.words:
                left, top, right, bottom = _rotate_box_back(box, turn, width, height)
                yield RecognizedText(text, left / width, top / height, right / width, bottom / height, turn)

    def _recognize_lines(self, picture: Picture) -> list[_RecognizedLine]:
        found = self._engine(picture[:, :, ::-1])
        if not len(found):
            return []
        return [
            _build_line(np.asarray(corners), text, float(score), parts)
            for corners, text, score, parts in zip(
                found.boxes, found.txts, found.scores, found.word_results, strict=False
            )
        ]

    def _detect_rotation(self, picture: Picture, lines: Sequence[_RecognizedLine]) -> int:
        """Return the number of counterclockwise quarter turns of the text.

        Lines that are taller than wide are turned once or three times. Between opposite orientations, the one in which
        the longest lines are recognized with higher confidence is chosen.
        """
        if not lines:
            return 0
        upright = sum((line.right - line.left) - (line.bottom - line.top) for line in lines) >= 0
        longest = sorted(lines, key=lambda each: -max(each.right - each.left, each.bottom - each.top))[:_JUDGED_LINES]
        crops = [_crop_line(picture, line) for line in longest]
        ways = (0, 2) if upright else (1, 3)
        return max(ways, key=lambda turn: self._measure_confidence([np.rot90(crop, -turn) for crop in crops]))

    def _measure_confidence(self, crops: Sequence[Picture]) -> float:
        total = 0.0
        for crop in crops:
            read = self._engine(np.ascontiguousarray(crop[:, :, ::-1]), use_det=False, use_cls=False, use_rec=True)
            total += sum(map(float, read.scores or ()))
        self._engine.update_params(use_det=True)
        return total


def _build_line(corners: NDArray[np.float32], text: str, score: float, word_results: Sequence[Any]) -> _RecognizedLine:
    left, top = corners.min(axis=0)
    right, bottom = corners.max(axis=0)
    box = float(left), float(top), float(right), float(bottom)
    return _RecognizedLine(*box, score, tuple(_iter_line_words(text, box, word_results)))


def _iter_line_words(
    text: str, box: tuple[float, float, float, float], word_results: Sequence[Any]
) -> Iterator[tuple[str, tuple[float, float, float, float]]]:
    """Yield the words of a line with their boxes.

    The box of a word encloses its characters. If their boxes do not match the text, it is a proportional share of the
    line's box.
    """
    known = [(str(part[0]), np.asarray(part[2])) for part in word_results if part[2] is not None]
    aligned = "".join(part for part, _ in known).replace(" ", "") == text.replace(" ", "")
    characters = [corners for part, corners in known for _ in part.replace(" ", "")] if aligned else []
    at = 0
    for word in text.split():
        if characters:
            own = np.concatenate(characters[at : at + len(word)])
            (left, top), (right, bottom) = own.min(axis=0), own.max(axis=0)
            yield word, (float(left), float(top), float(right), float(bottom))
            at += len(word)
        else:
            at = text.index(word, at)
            share = (box[2] - box[0]) / len(text)
            yield word, (box[0] + at * share, box[1], box[0] + (at + len(word)) * share, box[3])
            at += len(word)


def _crop_line(picture: Picture, line: _RecognizedLine) -> Picture:
    top, left = max(0, int(line.top)), max(0, int(line.left))
    return picture[top : max(top + 1, int(line.bottom) + 1), left : max(left + 1, int(line.right) + 1)]


def _rotate_box_back(
    box: tuple[float, float, float, float], quarter_turns: int, width: int, height: int
) -> tuple[float, float, float, float]:
    """Map a box in the upright picture to the original picture, clipped to its edges."""
    left, top, right, bottom = box
    if quarter_turns == 1:
        left, top, right, bottom = top, height - right, bottom, height - left
    elif quarter_turns == 2:
        left, top, right, bottom = width - right, height - bottom, width - left, height - top
    elif quarter_turns == 3:
        left, top, right, bottom = width - bottom, left, width - top, right
    return max(0.0, left), max(0.0, top), min(float(width), right), min(float(height), bottom)
