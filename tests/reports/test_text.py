"""Results as Markdown and as CSV."""

import csv
import io

from ssl_keras.reports import results, text
from tests.reports.runs import rows


def test_csv_holds_every_row_and_field():
    found = [*csv.DictReader(io.StringIO(text.csv_text(rows())))]
    assert found == [{key: str(value) for key, value in row.items()} for row in rows()]


def test_markdown_has_a_table_a_protocol_and_marks_what_wins_clearly():
    said = text.markdown(rows())
    assert said.count("| scenario |") == 3
    assert "| digits | 95.0 (93.5–96.4) | 91.0 (89.5–92.4) |" in said
    assert "**95.0** (93.5–96.4) |\n" in said  # shapes/shape, supervised


def test_further_metrics_stand_in_tables_of_their_own():
    more = [*rows(), *({**row, "metric": "top5"} for row in rows())]
    tables = results.tables(more)
    assert tables["linear"] == results.tables(rows())["linear"]
    assert tables["linear, top5"] == tables["linear"]
    assert results.title("linear, top5") == "Linear classifier on frozen embeddings, top-5 %"
    kinds = [*rows(), *({**row, "metric": f"top1 {kind}"} for kind in ("fog", "snow") for row in rows())]
    by_kind = results.tables(kinds)["linear, by kind"]
    assert [*by_kind][:1] == ["shapes/shape, fog"] and "digits, snow" in by_kind
    assert results.title("linear, by kind") == "Linear classifier on frozen embeddings, by kind, top-1 %"
    assert results.title("style, unseen, worst_group") == "Linear classifier of shape, in other styles, worst group %"
    assert results.title("segmentation, frozen") == "Segmentation, encoder frozen, mIoU %"
    assert results.title("retrieval") == "Retrieval among the test images, mean average precision %"
