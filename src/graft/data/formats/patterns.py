"""Patterns of paths below the root: which files are images, and where the mask of an image lies."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Iterator

from graft.foundation.errors import GraftError

PLACEHOLDERS = ("dir", "subdir", "stem", "name")
WILDCARDS = re.compile(r"[*?\[\]]")


def glob_regex(pattern: str) -> re.Pattern[str]:
    """A glob over POSIX paths as a regular expression: `**` any folders, `*` and `?` and `[…]` within a name.

    The group `subdir` is what the first `**` stands for; each `*` is a group without a name.
    """
    parts, position = [], 0
    for token in re.finditer(r"\*\*/|\*\*|\*|\?|\[!?[^\]/]+\]", pattern):
        parts.append(re.escape(pattern[position : token.start()]))
        parts.append(_of_token(token[0], first=not any("(?P<subdir>" in part for part in parts)))
        position = token.end()
    return re.compile("".join([*parts, re.escape(pattern[position:])]), re.DOTALL)


def expand_braces(pattern: str) -> Iterator[str]:
    """Yields the patterns that alternatives in braces stand for: `*.{jpg,png}` is `*.jpg` and `*.png`.

    Braces without a comma are what they are.
    """
    found = re.search(r"\{([^{}]*,[^{}]*)\}", pattern)
    if found is None:
        yield pattern
        return
    for one in found[1].split(","):
        yield from expand_braces(pattern[: found.start()] + one + pattern[found.end() :])


class ImagePattern:
    """Which files are images; the ending of a file counts whatever its case.

    Raises:
        GraftError: The pattern leads out of the root.
    """

    def __init__(self, pattern: str, *, where: str = "ingest.source.images") -> None:
        self.text = unicodedata.normalize("NFC", pattern)
        self._regexes: list[re.Pattern[str]] = []
        self._with_any_ending: list[re.Pattern[str]] = []
        for one in expand_braces(self.text):
            stem, ending = posixpath.splitext(_below_root(one, where))
            before = glob_regex(stem).pattern
            self._regexes.append(re.compile(f"{before}(?i:{glob_regex(ending).pattern})", re.DOTALL))
            self._with_any_ending.append(re.compile(rf"{before}\.[^./]+" if ending else before, re.DOTALL))

    @property
    def num_captures(self) -> int:
        """Number of `*` in the pattern, or in that of its alternatives that has the fewest."""
        return min(regex.groups - len(regex.groupindex) for regex in self._regexes)

    def match(self, id: str) -> re.Match[str] | None:
        return _first_match(self._regexes, id)

    def match_but_for_ending(self, id: str) -> re.Match[str] | None:
        """As `match`, for a file whose ending may be any."""
        return _first_match(self._with_any_ending, id)


def _first_match(regexes: list[re.Pattern[str]], id: str) -> re.Match[str] | None:
    return next((match for regex in regexes if (match := regex.fullmatch(id))), None)


def _captures(match: re.Match[str]) -> dict[str, str]:
    """Each `*` of a pattern, by its number from 1, to what it stands for."""
    named = set(match.re.groupindex.values())
    stars = (text for number, text in enumerate(match.groups(), start=1) if number not in named)
    return {str(number): text for number, text in enumerate(stars, start=1)}


class MaskPattern:
    """The path of the mask (or of another file) of an image: `{dir}` its folder, `{subdir}` what `**` stood for,
    `{stem}`, `{name}`, and `{1}`, `{2}`, … what each `*` stood for.

    Raises:
        GraftError: An unknown placeholder, a wildcard, or a pattern that leads out of the root.
    """

    def __init__(self, pattern: str, images: ImagePattern, *, where: str = "ingest.source.masks") -> None:
        self.text, self._images = unicodedata.normalize("NFC", pattern), images
        named = re.findall(r"\{([^{}]*)\}", self.text)
        numbers = {str(number) for number in range(1, images.num_captures + 1)}
        unknown = sorted(set(named) - set(PLACEHOLDERS) - numbers)
        if unknown or WILDCARDS.search(self.text):
            raise GraftError(
                f"{pattern!r} holds " + (f"the unknown {{{unknown[0]}}}" if unknown else "a wildcard"),
                where=where,
                rule=f"an image has one such file; filled in are {', '.join(f'{{{name}}}' for name in PLACEHOLDERS)}, "
                f"and {{1}}, {{2}}, … for each * of images, which has {images.num_captures}",
                remedy='as in "{dir}/{stem}.png"',
            )
        if "subdir" in named and "**" not in images.text:
            raise GraftError("{subdir} is what ** stood for, and images has no **", where=where)
        _below_root(re.sub(r"\{[^{}]*\}", "x", self.text), where)
        literals = re.split(r"\{[^{}]*\}", posixpath.basename(self.text))
        self._name = re.compile("[^/]+".join(map(re.escape, literals)), re.DOTALL)

    def mask_of(self, id: str) -> str:
        """Id of the mask of an image, whether it exists or not."""
        match = self._images.match(id) or self._images.match_but_for_ending(id)
        folder, name = posixpath.split(id)
        subdir = (match.groupdict().get("subdir") or "") if match else ""
        values = {"dir": folder, "subdir": subdir.strip("/"), "stem": posixpath.splitext(name)[0], "name": name}
        values |= _captures(match) if match else {}
        return posixpath.normpath(re.sub(r"\{([^{}]*)\}", lambda m: values.get(m[1], ""), self.text).lstrip("/"))

    def could_be_mask(self, id: str) -> bool:
        """Whether the file is named as masks are."""
        return self._name.fullmatch(posixpath.basename(id)) is not None


def _of_token(token: str, *, first: bool) -> str:
    if token.startswith("**"):
        slash = "/" if token.endswith("/") else ""
        return f"(?P<subdir>(?:.*{slash})?)" if first else f"(?:.*{slash})?"
    if token.startswith("["):
        return f"[^{token[2:-1]}]" if token.startswith("[!") else token
    return "([^/]*)" if token == "*" else "[^/]"


def _below_root(pattern: str, where: str) -> str:
    pattern = unicodedata.normalize("NFC", pattern)
    if pattern.startswith("/") or posixpath.normpath(pattern).startswith(".."):
        raise GraftError(
            f"{pattern!r} leads out of the root",
            where=where,
            rule="patterns are relative to ingest.root and stay below it",
        )
    return pattern
