"""Tables of a spreadsheet (.xlsx) from strangers: the text of its cells, and nothing else of it.

An .xlsx is a zip of XML (ECMA-376 part 1, clause 18). One public set keeps its patient ids in such a file, and no
dependency reads it. A document type, where XML hides its bombs, is refused; so is a file that grows too large.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree

from pneumoscope.errors import DataError

MAX_BYTES = 64 * 2**20  # of one unpacked member
_NS = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def tables(path: Path) -> list[list[dict[str, str]]]:
    """The sheets in the order of their files, each as rows by the names in its first row; cells stripped.

    Raises:
        DataError: no spreadsheet, or one that is too large or not plain.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(n for n in archive.namelist() if re.fullmatch(r"xl/worksheets/sheet\d{1,4}\.xml", n))
            shared = _shared(archive) if "xl/sharedStrings.xml" in archive.namelist() else []
            return [_table(_parse(archive, name), shared) for name in names]
    except (OSError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path.name}: expected a spreadsheet, found '{error}'. Save it as CSV instead.") from error


def _parse(archive: zipfile.ZipFile, name: str) -> ElementTree.Element:
    with archive.open(name) as member:
        data = member.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"{name} larger than {MAX_BYTES} bytes")
    xml = data.decode("utf-8-sig")  # so that a document type cannot hide in another encoding
    if "<!DOCTYPE" in xml or "<!ENTITY" in xml:
        raise ValueError(f"a document type in {name}")
    try:
        return ElementTree.fromstring(xml)  # noqa: S314  without a document type there is no entity to expand
    except ElementTree.ParseError as error:
        raise ValueError(f"{name}: {error}") from error


def _shared(archive: zipfile.ZipFile) -> list[str]:
    return [_text(item) for item in _parse(archive, "xl/sharedStrings.xml").iter(f"{_NS}si")]


def _text(item: ElementTree.Element) -> str:
    return "".join(t.text or "" for t in item.iter(f"{_NS}t")).strip()


def _table(sheet: ElementTree.Element, shared: list[str]) -> list[dict[str, str]]:
    rows = [{_column(cell): _cell(cell, shared) for cell in row.iter(f"{_NS}c")} for row in sheet.iter(f"{_NS}row")]
    if not rows:
        return []
    head = {column: name for column, name in rows[0].items() if name}
    return [{name: row.get(column, "") for column, name in head.items()} for row in rows[1:]]


def _column(cell: ElementTree.Element) -> str:
    return re.sub(r"\d", "", cell.get("r", ""))


def _cell(cell: ElementTree.Element, shared: list[str]) -> str:
    if cell.get("t") == "inlineStr":
        return _text(cell)
    value = (cell.findtext(f"{_NS}v") or "").strip()
    if cell.get("t") != "s":
        return value
    index = int(value)
    if not 0 <= index < len(shared):
        raise ValueError(f"a cell that names shared text {index} of {len(shared)}")
    return shared[index]
