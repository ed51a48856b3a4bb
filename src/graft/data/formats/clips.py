"""Splits of clips: whole ones held out, or the end of each in one piece, so that no frame is judged by the next one."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from graft.data.formats.listing import Entry
from graft.foundation.class_map import UNLABELLED
from graft.foundation.errors import GraftError


def _check_name(name: Any) -> Any:
    """Refuses the name of a clip that YAML read as a number, as it does 0016E5."""
    if isinstance(name, (int, float)):
        raise ValueError(f"YAML reads a name as the number {name}: write every clip in quotes, as in ['0016E5']")
    return name


ClipNames = list[Annotated[str, BeforeValidator(_check_name)]]
Stretch = Annotated[float, Field(ge=0, lt=1)]
WHERE = "ingest.source"


@dataclass(frozen=True)
class ClipSplits:
    """The splits that clips of a source go to; the fields are its options.

    Attributes:
        clips: Clips that are read; none means all.
        val_clips: Clips that are val.
        test_clips: Clips that are test.
        unlabelled_clips: Clips that are unlabelled.
        val_stretch: Share of every other clip that becomes val, before the test stretch.
        test_stretch: Share of every clip that is not held out that becomes test, at its end.
    """

    clips: Collection[str]
    val_clips: Collection[str]
    test_clips: Collection[str]
    unlabelled_clips: Collection[str]
    val_stretch: float
    test_stretch: float

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> ClipSplits:
        """The splits that the options of a source describe."""
        return cls(**{name: options[name] for name in cls.__dataclass_fields__})

    @property
    def are_official(self) -> bool:
        """Whether the lists of train and val stay as they are, but for whole clips that become test or unlabelled."""
        return not (self.val_clips or self.val_stretch or self.test_stretch)

    def apply(self, entries: Sequence[Entry]) -> list[Entry]:
        """The entries of the clips that are read, each in its split; those of an official test stay what they are.

        Raises:
            GraftError: A clip is not there, is held out twice or too short for its stretches, or nothing is left to
                train on.
        """
        self._refuse_unknown("clips", self.clips, {entry.group for entry in entries})
        read = [entry for entry in entries if not self.clips or entry.group in self.clips]
        ours = [entry for entry in read if entry.split != "test"]
        for name, named in self._held_out.items():
            self._refuse_unknown(f"{name}_clips", named, {entry.group for entry in ours})
        self.refuse_contradictions()
        by_clip: dict[str, list[Entry]] = {}
        for entry in sorted(ours, key=lambda entry: (entry.id.rpartition("/")[2], entry.id)):
            by_clip.setdefault(entry.group, []).append(entry)
        split = [entry for clip, frames in by_clip.items() for entry in self._split(clip, frames)]
        if read and not any(entry.split == "train" for entry in split):
            raise GraftError(
                f"all clips are held out ({', '.join(sorted(by_clip))}), so nothing is left to train on",
                where=f"{WHERE}.val_clips",
                remedy="leave one out",
            )
        return split + [entry for entry in read if entry.split == "test"]

    def _split(self, clip: str, frames: Sequence[Entry]) -> Iterator[Entry]:
        """The frames of a clip, which are in their order."""
        if clip in self.val_clips or clip in self.test_clips:
            whole = "val" if clip in self.val_clips else "test"
            yield from (replace(entry, split=whole) for entry in frames)
            return
        bare, names = clip in self.unlabelled_clips, [entry.split for entry in frames]
        if not self.are_official:
            num_test = _share(len(frames), self.test_stretch)
            num_val = 0 if bare else _share(len(frames), self.val_stretch)
            num_train = len(frames) - num_val - num_test
            if num_train < 0:
                raise too_short(clip, len(frames))
            names = ["train"] * num_train + ["val"] * num_val + ["test"] * num_test
        for entry, name in zip(frames, names, strict=True):
            group = (
                f"{clip}/{name}" if self.val_stretch or self.test_stretch else clip
            )  # a stretch is a unit of its own
            if bare and name != "test":
                yield replace(entry, split=UNLABELLED, group=group, mask=None)
            else:
                yield replace(entry, split=name, group=group)

    def refuse_contradictions(self) -> None:
        """Refuses clips that are named twice, and stretches that leave nothing to train on."""
        held_out = self._held_out
        for one, other in (("val", "test"), ("val", UNLABELLED), ("test", UNLABELLED)):
            if both := sorted(set(held_out[one]) & set(held_out[other])):
                raise GraftError(
                    f"{', '.join(both)} cannot be in {one} and in {other}",
                    where=f"{WHERE}.{other}_clips",
                    remedy="name each clip once",
                )
        if self.val_stretch + self.test_stretch >= 1:
            raise GraftError(
                f"val_stretch and test_stretch are {self.val_stretch} and {self.test_stretch}, the whole of a clip",
                where=f"{WHERE}.test_stretch",
                rule="they are shares of a clip, and together less than 1",
                remedy="0.2 of each is usual",
            )

    @property
    def _held_out(self) -> dict[str, Collection[str]]:
        return {"val": self.val_clips, "test": self.test_clips, UNLABELLED: self.unlabelled_clips}

    @staticmethod
    def _refuse_unknown(option: str, named: Collection[str], there: Collection[str]) -> None:
        if unknown := sorted(set(named) - set(there)):
            lists = "the lists" if option == "clips" else "train.txt or val.txt"
            raise GraftError(
                f"no image of {lists} is of clip {', '.join(unknown)}; there are {', '.join(sorted(there))}",
                where=f"{WHERE}.{option}",
                remedy="name clips that are there",
            )


def too_short(clip: str, num_frames: int) -> GraftError:
    """The error of a clip that has fewer frames than stretches."""
    return GraftError(
        f"clip {clip} has {num_frames} frame{'s' * (num_frames != 1)}, too few for val_stretch and test_stretch",
        where=f"{WHERE}.val_stretch",
        rule="each stretch of a clip is at least one frame",
        remedy="name the clip in val_clips or test_clips, leave it out of clips, or leave one of the stretches out",
    )


def _share(number: int, share: float) -> int:
    """A share of a number of frames, at least one where there is a share."""
    return max(round(number * share), 1) if share else 0
