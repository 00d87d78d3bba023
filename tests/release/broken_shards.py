"""Broken releases for the rules on shards: what Parquet and tar files hold.

Each row of the tables of traps in how `load_dataset` and `webdataset` read tars has a case, and what it does to a user.
"""

import json
import tarfile

import numpy as np
from broken import Broken, Change
from shard_edits import (
    MARK,
    NEW,
    SECOND,
    SECOND_TAR,
    TABLE,
    TAR,
    TEST,
    TRAIN,
    _rename_feature,
    _shift_landmarks,
    add_member,
    by_kind,
    change_image,
    copy_first,
    cut_first_png,
    drop_alignment,
    edit_bytes,
    edit_json,
    edit_rows,
    edit_tar,
    first_owner,
    insert_chunk,
    lie_about_alignment,
    member,
    read_members,
    rename_first,
    rewrite,
    set_first,
    set_image,
    set_mask,
    swap_rows,
    with_first,
    with_new_key,
)

from cspine_bench.imaging.png import encode_png
from cspine_bench.provenance import canonical_json
from cspine_bench.schema import DIGITAL_SOURCE_TYPES

NOISE = np.random.default_rng(0).integers(0, 255, (24, 24)).astype(np.uint8)
TOY = {"digital_source_type": MARK, "ai_system": "toy", "ai_system_version": "1"}
BLANK = np.full((24, 24), 7, np.uint8)
PIXELS = ("image", "image_sha256", "pixel_sha256", "mask", "mask_sha256")
ORIGIN = ("seed", "sample_index", "generator", "generator_version", "generator_parameters", "recipe_sha256")


def _parquet(code: str, change: Change, message: str, where: str = TRAIN, level: str = "standard") -> Broken:
    return Broken(code, change, where, message, level=level)


def _tar(code: str, change: Change, message: str, where: str = TAR) -> Broken:
    return Broken(code, change, where, message, mirror=True, level="standard")


_ALL = [
    # Parquet: columns, features, row groups, compression, damage
    _parquet("PQ-01", rewrite(lambda table: table.drop_columns(["artefact"])), "artefact", level="quick"),
    _parquet("PQ-01", rewrite(lambda table: table.select(table.column_names[::-1])), "another order", level="quick"),
    _parquet(
        "PQ-01",
        rewrite(lambda table: table.set_column(table.column_names.index("age"), "age", table["age"].cast("int64"))),
        "another type: age",
        level="quick",
    ),
    # `List` of newer writers fails in datasets 2.21 and 3.6
    _parquet(
        "PQ-02",
        rewrite(lambda table: _rename_feature(table, b'"Sequence"', b'"List"')),
        "spell landmarks_xy as",
        level="quick",
    ),
    _parquet(
        "PQ-02", rewrite(lambda table: table.replace_schema_metadata(None)), "no Hugging Face features", level="quick"
    ),
    _parquet("PQ-03", rewrite(lambda table: table, write_page_index=False), "has no page index", level="quick"),
    _parquet("PQ-04", rewrite(lambda table: table, compression="ZSTD"), "compressed with ZSTD", level="quick"),
    _parquet("PQ-05", edit_bytes(lambda data: data[: len(data) // 2], TRAIN), "unreadable after row 0", level="quick"),
    _parquet("PQ-05", edit_bytes(lambda data: data[:4] + bytes(3000) + data[3004:], TRAIN), "unreadable after row 0"),
    _parquet("PQ-05", edit_bytes(lambda data: b"", TRAIN), "unreadable after row 0", level="quick"),
    _parquet("PQ-06", set_first(TABLE, age=33), "its values differ from those in the shard", TABLE),
    _parquet("PQ-06", rewrite(swap_rows, TABLE), "in its place", TABLE),
    _parquet("PQ-06", rewrite(lambda table: table.slice(1), TABLE), "rows, the shards have", TABLE),
    # Records
    _parquet("REC-01", set_first(age=999), "age is 999; allowed: a whole number at least 0 and at most 130 or null"),
    _parquet("REC-01", set_first(sample_id="v1.0-cs01"), "text that matches"),
    _parquet("REC-01", set_first(curvature=17), "curvature is 17"),
    _parquet("REC-01", set_first(pixel_spacing_mm=float("nan")), "a finite number above 0 or null"),
    _parquet("REC-01", set_first(group_id=None), "group_id is None"),
    _parquet("REC-01", set_first(landmarks_xy=[[1.0, 2.0]] * 22), "23 items"),
    _parquet("REC-01", set_first(image=None), "image is null"),
    _parquet("REC-01", edit_rows(lambda rows: rows[0]["image"].update(path="/data/films/doe.png")), "image.path is"),
    _parquet("REC-03", copy_first(TEST, "sample_id"), f"the id is also in {TEST}"),
    _parquet("REC-03", copy_first(TRAIN, "sample_id"), f"the id is also in {TRAIN}"),
    _parquet("REC-04", set_first(synthetic=False), "not a synthetic image"),
    _parquet("REC-04", set_first(source_kind="csxa", digital_source_type=DIGITAL_SOURCE_TYPES["captured"]), "csxa"),
    _parquet("REC-05", set_first(run_id="nobody-knows"), "run nobody-knows is not in"),
    _parquet("REC-06", copy_first(SECOND, *ORIGIN), "are those of toy", SECOND),
    _parquet("REC-07", copy_first(TEST, "group_id"), "its group is in train here and in test"),
    _parquet("REC-08", set_first(split="test"), "the row says test, the shard is train"),
    # PNG files
    _parquet("PNG-01", change_image(lambda data: data[:-20]), "reaches beyond the end"),
    _parquet("PNG-01", change_image(lambda data: data + b"\0"), "1 bytes follow its end"),
    _parquet("PNG-01", change_image(lambda data: data[:-30] + b"\x55" + data[-29:]), "has a wrong checksum"),
    _parquet("PNG-01", insert_chunk(b"tEXt", b"Comment\0DOE^JANE"), "chunk tEXt at byte 33"),
    _parquet("PNG-01", insert_chunk(b"eXIf", b"MM\0*"), "chunk eXIf at byte 33"),
    _parquet("PNG-01", insert_chunk(b"iTXt", b"Comment\0\0\0\0\0x"), "chunk iTXt at byte 33"),
    _parquet("PNG-01", change_image(lambda data: b"GIF89a" + data), "no PNG file"),
    _parquet("PNG-02", set_first(image_sha256="0" * 64), "the image's bytes do not give"),
    _parquet("PNG-02", set_first(mask_sha256="0" * 64), "the mask's bytes do not give"),
    _parquet("PNG-02", set_first(mask=None), "there is no mask, and mask_sha256 names one"),
    _parquet("PNG-03", set_first(width=25), "the row says 25 x 24 px of 8 bits, the PNG 24 x 24 of 8"),
    _parquet("PNG-03", set_image(encode_png(NOISE.astype(np.uint16), **TOY)), "the PNG 24 x 24 of 16"),
    _parquet("PNG-04", set_image(encode_png(NOISE)), "carries no XMP mark"),
    _parquet(
        "PNG-04", set_image(encode_png(NOISE, digital_source_type=DIGITAL_SOURCE_TYPES["trained"])), "does not say"
    ),
    _parquet("PNG-04", set_first(generator="other"), "names another generator than the row"),
    _parquet("PNG-05", set_image(encode_png(BLANK, **TOY), BLANK), "every pixel is 7", level="full"),
    _parquet("PNG-06", copy_first(TEST, *PIXELS), "in test"),
    _parquet("PNG-07", copy_first(SECOND, *PIXELS), "its pixels are those of toy", SECOND),
    _parquet("PNG-08", set_image(encode_png(NOISE, **TOY)), "the decoded pixels do not give", level="full"),
    # Labels
    _parquet(
        "LAB-01",
        edit_rows(lambda rows: _shift_landmarks(rows, (24.0, 3.0))),
        "is at (24.00, 3.00), the image has 24 x 24",
    ),
    _parquet("LAB-01", edit_rows(lambda rows: _shift_landmarks(rows, (float("nan"), 3.0))), "is at (nan, 3.00)"),
    _parquet("LAB-01", edit_rows(lambda rows: _shift_landmarks(rows, (float("inf"), 3.0))), "is at (inf, 3.00)"),
    _parquet("LAB-02", set_mask(np.zeros((24, 23), np.uint8)), "the mask has 23 x 24 px", level="full"),
    _parquet("LAB-02", set_mask(np.full((24, 24), 9, np.uint8)), "label 9; 0 to 8 are allowed", level="full"),
    _parquet(
        "LAB-02", set_first(mask_levels="C3,C4"), "holds C1, C2, C5, C6, C7, T1; mask_levels names C3,C4", level="full"
    ),
    _parquet("LAB-02", set_first(mask_levels=None), "there is a mask, and mask_levels is None", level="full"),
    _parquet("LAB-03", edit_rows(lie_about_alignment), "cobb_c2_c7_deg is", level="full"),
    _parquet("LAB-03", edit_rows(drop_alignment), "sva_mm is nan, the landmarks give", level="full"),
    # Private text
    _parquet("PRIV-02", set_first(source_id="DOE^JANE"), "source_id looks like a patient's name"),
    _parquet("PRIV-02", set_first(device="192.168.1.20"), "device looks like an address of a machine"),
    _parquet("PRIV-02", set_first(group_id="/home/jane/films/7"), "group_id looks like a path of a machine"),
    # Plain ustar, and no more: PAX headers cost 1 KB a member and hide what they say; times and owners differ every day
    _tar("TAR-01", first_owner(mtime=1), "time differ from plain ustar"),
    _tar("TAR-01", first_owner(uname="jane"), "names of owner, link or device, or prefix differ"),
    _tar("TAR-01", first_owner(uid=7, mode=0o600), "mode, owner differ"),
    _tar(
        "TAR-01",
        edit_tar(
            lambda members: [
                (member(members[0][0], size=len(members[0][1]), pax_headers={}), members[0][1]),
                (member(NEW + ".png", type=tarfile.XHDTYPE, size=0), b""),
                *members[1:],
            ]
        ),
        "an extended header (PAX)",
    ),
    # Members that are not adjacent: the rows double, their labels are gone, no error
    _tar("TAR-02", edit_tar(by_kind), "is not next to"),
    _tar(
        "TAR-02", edit_tar(lambda members: [members[1], members[0], *members[2:]]), "its members come as mask.png, png"
    ),
    # A mask that is absent in one sample: "don't share the same prefix", or the column is dropped
    _tar("TAR-02", edit_tar(lambda members: [members[0], *members[2:]]), "its mask.png is missing"),
    _tar("TAR-02", edit_tar(lambda members: members[1:]), "png is not next to"),
    # A doubled member: an error in one version, silence in the next
    _tar("TAR-02", edit_tar(lambda members: [members[0], *members]), "is there twice"),
    # An upper-case suffix is another column; so is a pickle, which no reader should open
    _tar(
        "TAR-02",
        rename_first(".mask.png", lambda name: name.replace(".mask.png", ".mask.PNG")),
        "there is no member 'mask.PNG'",
    ),
    _tar("TAR-02", add_member("toy00000000.pkl", b"cos\nsystem\n(S'id'\ntR."), "there is no member 'pkl'"),
    # A dot in a key: the whole shard becomes one row
    _tar("TAR-03", rename_first("", lambda name: f"v1.0-{name}"), "its key is not a sample_id"),
    _tar("TAR-03", rename_first("", lambda name: f"a/{name}"), "its key is not a sample_id"),
    # macOS files: webdataset makes a sample of each
    _tar("TAR-03", add_member("._toy00000000.png"), "its key is not a sample_id"),
    _tar("TAR-04", edit_bytes(lambda data: data[:3000]), "it is cut short"),
    _tar("TAR-04", edit_bytes(lambda data: data[:-1]), "its end is padded to"),
    _tar("TAR-04", edit_bytes(lambda data: data[:-6] + b"hidden"), "bytes other than zero follow its end"),
    _tar("TAR-04", edit_bytes(lambda data: data + bytes(512)), "its end is padded to"),
    _tar("TAR-04", edit_bytes(lambda data: data.rstrip(b"\0")), "cut short"),
    _tar("TAR-05", edit_bytes(lambda data: data[:20] + b"x" + data[21:]), "header at byte 0 is damaged"),
    _tar("TAR-05", add_member("../../etc/cron.d/x"), "leads out of the folder"),
    _tar("TAR-05", add_member("/etc/passwd"), "leads out of the folder"),
    _tar(
        "TAR-05", add_member(member(NEW + ".png", type=tarfile.SYMTYPE, linkname="/etc/passwd"), b""), "a symbolic link"
    ),
    _tar("TAR-05", add_member(member(NEW + ".png", type=tarfile.LNKTYPE, linkname="x"), b""), "a hard link"),
    # JSON: whole numbers for fractions cut what follows, other keys are dropped, 2^63 overflows
    _tar(
        "REC-02",
        edit_json(lambda values: values.update(pixel_spacing_mm=3)),
        "pixel_spacing_mm is written as a whole number, 3",
    ),
    _tar(
        "REC-02",
        edit_json(lambda values: values["landmarks_xy"].__setitem__(3, [1, 2])),
        "landmarks_xy holds whole numbers",
    ),
    _tar("REC-02", edit_json(lambda values: values.update(note="x")), "keys that the schema does not know: note"),
    _tar("REC-02", edit_json(lambda values: values.pop("artefact") and None), "its JSON lacks artefact"),
    _tar("REC-02", edit_json(lambda values: values.update(seed=2**63)), "seed is 2^63 or more"),
    _tar("REC-02", edit_json(lambda values: json.dumps(values)), "sorted, compact and without doubled keys"),
    _tar("REC-02", edit_json(lambda values: canonical_json(values)[:-1] + ',"width":24}'), "without doubled keys"),
    _tar(
        "REC-02",
        edit_json(lambda values: canonical_json(values).replace('"pixel_spacing_mm":0.25', '"pixel_spacing_mm":NaN')),
        "cannot be read, or holds NaN",
    ),
    _tar("REC-02", edit_json(lambda values: "[" * 90_000), "cannot be read"),
    _tar("REC-02", edit_json(lambda values: "[]"), "its JSON is a list"),
    _tar("REC-01", edit_json(lambda values: values.update(curvature="wavy")), "curvature is 'wavy'"),
    _tar("REC-01", edit_json(lambda values: values.update(age="30")), "age is '30'"),
    _tar("REC-01", edit_json(lambda values: values.update(sample_id=NEW)), f"its JSON says sample_id '{NEW}'"),
    # A key in two shards: two rows, no error
    _tar(
        "REC-03",
        lambda folder: edit_tar(lambda members: members + with_first(read_members(folder), split="train"), SECOND_TAR)(
            folder
        ),
        f"the id is also in {TAR}",
        SECOND_TAR,
    ),
    # A truncated PNG: fails only when its row is decoded
    _tar("PNG-01", edit_tar(cut_first_png), "image: chunk IDAT at byte"),
    _tar("PNG-02", edit_tar(cut_first_png), "the image's bytes do not give"),
    _tar("REC-08", edit_json(lambda values: values.update(split="test")), "the row says test, the shard is train"),
]

CASES: dict[str, list[Broken]] = {
    "SUM-04": [
        Broken(
            "SUM-04",
            edit_tar(lambda members: members[3:]),
            TAR,
            "the release has 12 radiographs there, the mirror 11",
            mirror=True,
        ),
        Broken(
            "SUM-04",
            edit_tar(lambda members: [*members[3:], *with_new_key(members)]),
            TAR,
            "is missing from the mirror",
            mirror=True,
        ),
        Broken("SUM-04", edit_tar(lambda members: members[3:] + members[:3]), TAR, "in another order", mirror=True),
        Broken(
            "SUM-04", edit_json(lambda values: values.update(age=44)), TAR, "its labels or origin differ", mirror=True
        ),
        Broken(
            "SUM-04",
            edit_tar(lambda members: [(name, data + b" ") for name, data in members]),
            TAR,
            "the image differs",
            mirror=True,
        ),
        Broken("SUM-04", lambda folder: (folder / TAR).unlink(), TRAIN, "the mirror has no such shard", mirror=True),
    ]
}
"""Cases by the rule that must see them; those of SUM-04 break the mirror, and its release is validated."""
for _case in _ALL:
    CASES.setdefault(_case.code, []).append(_case)
