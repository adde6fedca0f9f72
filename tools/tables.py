"""Writes the README's tables from committed result files, or checks that they are up to date.

A table stands between two comments, the first of which names its file:

    <!-- table: tools/results/cifar10.json -->
    <!-- end of table -->

Rows with an ``encoder`` are those of ``results.json`` and become one table of scenarios per protocol; any other
rows are printed as they are, one column per key.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl_keras.reports import text

ROOT = Path(__file__).parent.parent
MARKED = re.compile(r"(<!-- table: (\S+) -->\n)(.*?)(<!-- end of table -->)", re.DOTALL)


def fill(page: str, root: Path) -> str:
    """The page with every marked table made again from its file under ``root``.

    Raises:
        FileNotFoundError: A named file does not exist.
    """
    return MARKED.sub(lambda match: f"{match[1]}{markdown(json.loads((root / match[2]).read_text()))}{match[4]}", page)


def markdown(document: Mapping[str, Any]) -> str:
    """The rows of one result file as Markdown."""
    rows = document["rows"]
    if "encoder" in rows[0]:
        return text.markdown(rows)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return text.table(columns, [[_text(row.get(name, "–")) for name in columns] for row in rows])


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main() -> None:
    """Writes README.md, or with ``--check`` fails when that would change it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a table is out of date")
    check = parser.parse_args().check
    readme = ROOT / "README.md"
    old = readme.read_text(encoding="utf-8")
    new = fill(old, ROOT)
    if check and new != old:
        sys.exit("README.md: a table differs from its result file; run `make tables`")
    if not check:
        readme.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
