"""The items of the arrays of a JSON file, one at a time, with the place of each in the file."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

from graft.foundation.errors import GraftError

BLOCK_BYTES = 1 << 20
SPACE = " \t\n\r"
BYTE_ORDER_MARK = codecs.BOM_UTF8.decode("latin-1")
OF_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
AFTER_A_VALUE = frozenset(SPACE + ",:]}")


class Item(NamedTuple):
    """An item of an array.

    Attributes:
        key: The key the array stands at.
        offset: Its first byte in the file.
        data: Its bytes.
        value: Decoded content; text that is not ASCII is wrong in it, `json.loads(data)` has it right.
    """

    key: str
    offset: int
    data: bytes
    value: Any


def json_items(path: Path, where: str, *, whole: Literal["object", "array"] = "object") -> Iterator[Item]:
    """Items of every array that stands at the top level of the object in a file; other values are passed over.

    Only one item and a block are in memory. Bytes are read as Latin-1, so that a character is a byte.

    Args:
        path: The file.
        where: Its id, for errors.
        whole: Whether the file holds an object, or one array, whose items then have the key "".

    Raises:
        GraftError: Not a JSON object (or array), or cut off, or not in UTF-8.
    """
    try:
        with path.open("rb") as file:
            if file.peek(2)[:2] in OF_UTF16:
                raise GraftError("it is text in UTF-16", where=where, remedy="save it again in UTF-8")
            scanner = _Scanner(file)
            yield from scanner.of_array("") if whole == "array" else scanner.items()
    except (ValueError, RecursionError) as error:
        raise GraftError(
            f"not the JSON {whole} it should be, or cut off ({error})",
            where=where,
            remedy="export it again, or download it again",
        ) from None
    except OSError as error:
        raise GraftError(f"cannot be read ({error.strerror or error})", where=where) from None


class _Scanner:
    def __init__(self, file: BinaryIO) -> None:
        self._file, self._text, self._at, self._dropped, self._ended = file, "", 0, 0, False
        self._decode = json.JSONDecoder().raw_decode
        self._read(BLOCK_BYTES + len(BYTE_ORDER_MARK))
        if self._text.startswith(BYTE_ORDER_MARK):
            self._at = len(BYTE_ORDER_MARK)

    def items(self) -> Iterator[Item]:
        self._take("{")
        while self._next() != "}":
            key, _, _ = self._value()
            self._take(":")
            if self._next() == "[":
                yield from self.of_array(str(key))
            else:
                self._value()
            self._pass_comma("}")

    def of_array(self, key: str) -> Iterator[Item]:
        self._take("[")
        while self._next() != "]":
            value, begin, end = self._value()
            data = self._text[begin:end].encode("latin-1")
            yield Item(key, self._dropped + begin, data, value)
            self._pass_comma("]")
        self._take("]")

    def _value(self) -> tuple[Any, int, int]:
        """The value that begins here, and where it begins and ends in the text."""
        self._next()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
                if self._text[end : end + 1] in AFTER_A_VALUE or self._ended:  # a number may go on in the next block
                    begin, self._at = self._at, end
                    return value, begin, end
            except ValueError:
                if self._ended:
                    raise
            self._read(max(BLOCK_BYTES, len(self._text)))  # twice as much each time: a long item is not read n times

    def _next(self) -> str:
        """The next character that is no space."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in SPACE:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if self._ended:
                raise ValueError("it ends too early")
            self._read(BLOCK_BYTES)

    def _take(self, character: str) -> None:
        if self._next() != character:
            raise ValueError(f"byte {self._dropped + self._at}: expected {character}, found {self._text[self._at]}")
        self._at += 1

    def _pass_comma(self, end: str) -> None:
        if self._next() != end:
            self._take(",")

    def _read(self, num_bytes: int) -> None:
        """Drops what was read and reads on."""
        block = self._file.read(num_bytes)
        self._dropped, self._text, self._at = (
            self._dropped + self._at,
            self._text[self._at :] + block.decode("latin-1"),
            0,
        )
        self._ended = not block
