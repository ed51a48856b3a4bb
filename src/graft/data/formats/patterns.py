"""Patterns of paths below the root: which files are images, and where the mask of an image lies."""

from __future__ import annotations

import posixpath
import re
import unicodedata

from graft.foundation.errors import GraftError

PLACEHOLDERS = ("dir", "subdir", "stem", "name")
WILDCARDS = re.compile(r"[*?\[\]]")


def glob_regex(pattern: str) -> re.Pattern[str]:
    """A glob over POSIX paths as a regular expression: `**` any folders, `*` and `?` and `[…]` within a name.

    The group `subdir` is what the first `**` stands for.
    """
    parts, position = [], 0
    for token in re.finditer(r"\*\*/|\*\*|\*|\?|\[!?[^\]/]+\]", pattern):
        parts.append(re.escape(pattern[position : token.start()]))
        parts.append(_of_token(token[0], first=not any("(?P<subdir>" in part for part in parts)))
        position = token.end()
    return re.compile("".join([*parts, re.escape(pattern[position:])]), re.DOTALL)


class ImagePattern:
    """Which files are images; the ending of a file counts whatever its case.

    Raises:
        GraftError: The pattern leads out of the root.
    """

    def __init__(self, pattern: str, *, where: str = "ingest.source.images") -> None:
        self.text = _below_root(pattern, where)
        stem, ending = posixpath.splitext(self.text)
        before = glob_regex(stem).pattern
        self._regex = re.compile(f"{before}(?i:{glob_regex(ending).pattern})", re.DOTALL)
        self._with_any_ending = re.compile(rf"{before}\.[^./]+" if ending else before, re.DOTALL)

    def match(self, id: str) -> re.Match[str] | None:
        return self._regex.fullmatch(id)

    def match_but_for_ending(self, id: str) -> re.Match[str] | None:
        """As `match`, for a file whose ending may be any."""
        return self._with_any_ending.fullmatch(id)


class MaskPattern:
    """The path of the mask (or of another file) of an image: `{dir}` its folder, `{subdir}` what `**` stood for,
    `{stem}`, `{name}`.

    Raises:
        GraftError: An unknown placeholder, a wildcard, or a pattern that leads out of the root.
    """

    def __init__(self, pattern: str, images: ImagePattern, *, where: str = "ingest.source.masks") -> None:
        self.text, self._images = unicodedata.normalize("NFC", pattern), images
        named = re.findall(r"\{([^{}]*)\}", self.text)
        unknown = sorted(set(named) - set(PLACEHOLDERS))
        if unknown or WILDCARDS.search(self.text):
            raise GraftError(
                f"{pattern!r} holds " + (f"the unknown {{{unknown[0]}}}" if unknown else "a wildcard"),
                where=where,
                rule=f"an image has one such file; filled in are {', '.join(f'{{{name}}}' for name in PLACEHOLDERS)}",
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
        return posixpath.normpath(re.sub(r"\{([^{}]*)\}", lambda m: values[m[1]], self.text).lstrip("/"))

    def could_be_mask(self, id: str) -> bool:
        """Whether the file is named as masks are."""
        return self._name.fullmatch(posixpath.basename(id)) is not None


def _of_token(token: str, *, first: bool) -> str:
    if token.startswith("**"):
        slash = "/" if token.endswith("/") else ""
        return f"(?P<subdir>(?:.*{slash})?)" if first else f"(?:.*{slash})?"
    if token.startswith("["):
        return f"[^{token[2:-1]}]" if token.startswith("[!") else token
    return "[^/]*" if token == "*" else "[^/]"


def _below_root(pattern: str, where: str) -> str:
    pattern = unicodedata.normalize("NFC", pattern)
    if pattern.startswith("/") or posixpath.normpath(pattern).startswith(".."):
        raise GraftError(
            f"{pattern!r} leads out of the root",
            where=where,
            rule="patterns are relative to ingest.root and stay below it",
        )
    return pattern
