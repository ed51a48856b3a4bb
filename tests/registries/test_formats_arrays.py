"""Masks in files of arrays: NumPy's and MATLAB's, of whole numbers in any type; what is no mask is refused by name."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from graft.commands.start.looking import look
from graft.data.formats.array_masks import array_of_mask
from graft.data.mask_files import decode_mask_file
from graft.foundation.errors import GraftError
from tests.formats_layouts.pictures import Ingested, run_ingest, stripes, write_image

IDS = np.array([[0, 1, 2], [2, 255, 1]])
SOURCE = {
    "name": "mask_folder",
    "images": "images/*.png",
    "masks": "masks/{stem}.npy",
    "classes": {"ground": [0], "road": [1], "sky": [2]},
    "void": [255],
}


def npy(values: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, values, **options)
    return file.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def mat(**variables: Any) -> bytes:
    file = io.BytesIO()
    savemat(file, variables, do_compression=True)
    return file.getvalue()


def ids_of(data: bytes, where: str, key: str | None = None) -> list[list[int]]:
    return decode_mask_file(
        array_of_mask(data, where, key, 100), where=where, max_pixels=100, as_colours=False
    ).values.tolist()


@pytest.mark.parametrize(
    ("data", "where", "key"),
    [
        *((npy(IDS.astype(kind)), "m.npy", None) for kind in ("u1", "<i4", ">i4", "i8", "f2", "f4", ">f8")),
        (npy(np.asfortranarray(IDS)), "m.npy", None),
        (npy(IDS[None]), "m.npy", None),
        (npy(IDS[..., None]), "m.npy", None),
        (npz(labels=IDS), "m.npz", None),
        (npz(labels=IDS.astype(np.float64), image=np.zeros((2, 3))), "m.npz", "labels"),
        (mat(mask=IDS.astype(np.uint8)), "m.mat", None),
        (mat(mask=IDS.astype(np.float64), image=np.zeros((2, 3, 3))), "m.MAT", "mask"),
        (mat(GTcls={"Segmentation": IDS.astype(np.uint8), "Boundaries": 1}), "m.mat", "GTcls.Segmentation"),
    ],
)
def test_whole_numbers_of_any_type_are_class_ids(data: bytes, where: str, key: str | None) -> None:
    assert ids_of(data, where, key) == IDS.tolist()


def test_negative_numbers_booleans_and_colours() -> None:
    assert ids_of(npy(np.array([[-1, 3]])), "m.npy") == [[-1, 3]]
    assert ids_of(npy(np.array([[True, False]])), "m.npy") == [[1, 0]]
    colours = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    assert ids_of(npy(colours), "m.npy") == colours.tolist()


def bomb() -> bytes:
    """A MATLAB file whose variable unfolds to more than 1 GiB."""
    packed = zlib.compressobj(1)
    parts = [packed.compress(bytes(1 << 24)) for _ in range(65)]
    content = b"".join([*parts, packed.flush()])
    return mat(mask=IDS)[:128] + (15).to_bytes(4, "little") + len(content).to_bytes(4, "little") + content


@pytest.mark.parametrize(
    ("data", "where", "key", "message"),
    [
        (npy(IDS + 0.5), "m.npy", None, r"m\.npy: 6 of its numbers are not whole, as 0\.5.*save class ids, not scores"),
        (npy(np.array([[0, np.nan]])), "m.npy", None, "1 of its numbers are not whole, as nan.*list that in void"),
        (npy(np.array([[0, np.inf]])), "m.npy", None, "1 of its numbers are not whole, as inf"),
        (npy(np.array([[1 << 40]])), "m.npy", None, "it holds 1099511627776, which is no class id"),
        (npy(np.zeros((4, 2, 3), "f4")), "m.npy", None, r"it has the shape \[4, 2, 3\] and float32.*argmax"),
        (npy(np.zeros(6, "u1")), "m.npy", None, r"it has the shape \[6\] and uint8"),
        (npy(np.zeros((0, 3), "u1")), "m.npy", None, r"it has the shape \[0, 3\]"),
        (npy(np.array([["a"]])), "m.npy", None, "values are <U1, which are no numbers"),
        (npy(np.array([[{}]]), allow_pickle=True), "m.npy", None, "pickled Python objects, which are never opened"),
        (npy(np.zeros((20, 20), "u1")), "m.npy", None, "20 x 20 pixels are more than the 100 allowed"),
        (npy(IDS)[:-1], "m.npy", None, r"damaged or cut off \(47 of 48 bytes are there\)"),
        (npy(IDS)[:20], "m.npy", None, "damaged or cut off"),
        (npz(a=IDS, b=IDS), "m.npz", None, "it holds 2 arrays: a, b.*name it: mask_key in ingest.source"),
        (npz(labels=IDS), "m.npz", "lables", "it has no array 'lables', but labels.*did you mean 'labels'"),
        (npz(labels=IDS)[:-30], "m.npz", None, "damaged, cut off or of another kind"),
        (npz(labels=np.zeros((20, 20), "u1")), "m.npz", None, "20 x 20 pixels are more than the 100 allowed"),
        (mat(a=IDS, b=IDS), "m.mat", None, "it holds 2 arrays: a, b"),
        (mat(GTcls={"Segmentation": IDS, "Rest": 1}), "m.mat", None, "struct with Segmentation, Rest.*as GTcls.Segm"),
        (mat(GTcls={"Segmentation": IDS}), "m.mat", "GTcls.Mask", "GTcls has no field 'Mask'"),
        (mat(a=np.array([IDS, "b"], object)), "m.mat", None, "a is no array of numbers"),
        (b"\x89HDF\r\n\x1a\n", "m.mat", None, "version 7.3, which is HDF5.*'-v7'"),
        (b"MATLAB 7.3 MAT-file" + bytes(200), "m.mat", None, "version 7.3, which is HDF5"),
        (mat(a=IDS)[:170], "m.mat", None, "damaged, cut off or of another kind"),
        (b"no such file", "m.mat", None, "damaged, cut off or of another kind"),
        (bomb(), "m.mat", None, r"unfold to more than 1,073,741,824 bytes: a decompression bomb\?"),
    ],
)
def test_what_is_no_mask_is_refused_by_name(data: bytes, where: str, key: str | None, message: str) -> None:
    with pytest.raises(GraftError, match=rf"(?s)^{where}: .*{message}|^{message}"):
        ids_of(data, where, key)


def write_pairs(root: Path, ending: str, written: dict[str, bytes]) -> None:
    for number in range(30):
        write_image(root / f"images/{number:02d}.png", number)
        (root / "masks").mkdir(exist_ok=True)
        (root / f"masks/{number:02d}.{ending}").write_bytes(written[ending])


WRITTEN = {
    "npy": npy(stripes(0, 1, 2, 255).astype(np.float32)),
    "npz": npz(mask=stripes(0, 1, 2, 255), image=np.zeros(3)),
    "mat": mat(mask=stripes(0, 1, 2, 255), note="drawn"),
}


@pytest.mark.parametrize("ending", WRITTEN)
def test_they_are_ingested_as_pictures_are(ending: str, tmp_path: Path) -> None:
    write_pairs(tmp_path / "raw", ending, WRITTEN)
    source = {**SOURCE, "masks": f"masks/{{stem}}.{ending}", "mask_key": "mask"}
    done: Ingested = run_ingest(tmp_path / "raw", tmp_path / "out", source)
    assert len(done.facts) == 30
    assert done.mask("images/07.png").tolist() == stripes(0, 1, 2, 255).tolist()
    assert {fact["mask_format"] for fact in done.facts.values()} == {"NPY"}
    assert done.facts["images/07.png"]["mask_void"] == 24 * 8


def test_whatever_is_wrong_with_them_is_listed_at_once(tmp_path: Path) -> None:
    write_pairs(tmp_path / "raw", "npy", WRITTEN)
    (tmp_path / "raw/masks/03.npy").write_bytes(npy(stripes(0, 1) + 0.25))
    (tmp_path / "raw/masks/04.npy").write_bytes(WRITTEN["npy"][:200])
    with pytest.raises(GraftError, match=r"(?s)masks/03\.npy: .*not whole, as 0\.25.*masks/04\.npy: .*cut off"):
        run_ingest(tmp_path / "raw", tmp_path / "out", SOURCE)


def test_arrays_are_not_cut_into_tiles(tmp_path: Path) -> None:
    write_pairs(tmp_path / "raw", "npy", WRITTEN)
    with pytest.raises(GraftError, match=r"masks/07\.npy: an array is not read by windows.*tiled TIFF"):
        run_ingest(tmp_path / "raw", tmp_path / "out", {"name": "tiles", "size_px": 32, "source": SOURCE})


def test_a_folder_of_arrays_is_looked_at(tmp_path: Path) -> None:
    write_pairs(tmp_path, "npy", WRITTEN)
    seen = look(tmp_path)
    assert seen.proposals[0].source == {
        "name": "mask_folder",
        "images": "images/**/*.png",
        "masks": "masks/{subdir}/{stem}.npy",
        "classes": {"background": [0], "class_1": [1], "class_2": [2]},
        "void": [255],
    }
    assert seen.shares == pytest.approx({"background": 1 / 3, "class_1": 1 / 3, "class_2": 1 / 3})
    assert len(seen.listing.entries) == 30
    (tmp_path / "masks/00.npy").write_bytes(npy(stripes(0, 1)[None].repeat(2, axis=0)))
    assert look(tmp_path).problems[0].startswith("masks/00.npy: it has the shape [2, 24, 32] and uint8")
