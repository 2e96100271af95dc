"""Numbers others printed, beside which ours are put."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from decaf.tasks.office.domain import Pair
from decaf.tasks.office.names import AMAZON, CALTECH, DOMAINS, DSLR, WEBCAM
from decaf.tasks.task import Number

TABLE1_PAIRS: tuple[Pair, ...] = ((AMAZON, WEBCAM), (DSLR, WEBCAM))
TABLE1_FEATURES = ("SURF", "DeCAF6", "DeCAF7")
TABLE1_SOURCE = "Donahue et al. 2014, Table 1: 31 classes, 5 splits, the paper's own network"

_Row = tuple[Number | None, ...]

# Method as ours is called -> A→W and D→W, each on SURF, DeCAF6 and DeCAF7.
TABLE1: Mapping[str, tuple[_Row, _Row]] = {
    "LogReg (S)": (((9.63, 1.4), (48.58, 1.3), (53.56, 1.5)), ((24.22, 1.8), (88.77, 1.2), (87.38, 2.2))),
    "SVM (S)": (((11.05, 2.3), (52.22, 1.7), (53.90, 2.2)), ((38.80, 0.7), (91.48, 1.5), (89.15, 1.7))),
    "LogReg (T)": (((24.33, 2.1), (72.56, 2.1), (74.19, 2.8)), ((24.33, 2.1), (72.56, 2.1), (74.19, 2.8))),
    "SVM (T)": (((51.05, 2.0), (78.26, 2.6), (78.72, 2.3)), ((51.05, 2.0), (78.26, 2.6), (78.72, 2.3))),
    "LogReg (ST)": (((19.89, 1.7), (75.30, 2.0), (76.32, 2.0)), ((36.55, 2.2), (92.88, 0.6), (91.91, 2.0))),
    "SVM (ST)": (((23.19, 3.5), (80.66, 2.3), (79.12, 2.1)), ((46.32, 1.1), (94.79, 1.2), (92.96, 2.0))),
    "Daumé III 2007": (((40.26, 1.1), (82.14, 1.9), (81.65, 2.4)), ((55.07, 3.0), (91.25, 1.1), (89.52, 2.2))),
    "Hoffman et al. 2013 (MMDT)": (
        ((37.66, 2.2), (80.06, 2.7), (80.37, 2.0)), ((53.65, 3.3), (93.25, 1.5), (91.45, 1.5))
    ),
    "Gong et al. 2012 (GFK)": (
        ((39.80, 2.3), (75.21, 1.2), (77.55, 1.9)), ((39.12, 1.3), (88.40, 1.0), (88.66, 1.9))
    ),
}  # fmt: skip

OTHERS: tuple[tuple[str, Mapping[Pair, float], str], ...] = (
    ("Chopra et al. 2013 (DLID)", {TABLE1_PAIRS[0]: 58.85, TABLE1_PAIRS[1]: 78.21}, "Table 1"),
)

# -- all of the source, no label of the target --------------------------------------------------------------------

TWELVE: tuple[Pair, ...] = tuple((source, target) for source in DOMAINS for target in DOMAINS if source != target)
_PRINTED_ORDER = tuple(
    (source, target)
    for source, targets in (
        (CALTECH, (AMAZON, WEBCAM, DSLR)), (AMAZON, (CALTECH, WEBCAM, DSLR)),
        (WEBCAM, (CALTECH, AMAZON, DSLR)), (DSLR, (CALTECH, AMAZON, WEBCAM)),
    )
    for target in targets
)  # fmt: skip


@dataclass(frozen=True)
class PublishedRow:
    """A line of the tables of Office-Caltech10.

    Attributes:
        method, features: what was measured.
        source: where it was printed.
        numbers: accuracy over all target pictures, per cent.
        confirmed: whether we read them in a text; else they are from memory.
        doubt: what speaks against them.
    """

    method: str
    features: str
    source: str
    numbers: Mapping[Pair, float]
    confirmed: bool = True
    doubt: str = ""


def _twelve(*numbers: float) -> dict[Pair, float]:
    return dict(zip(_PRINTED_ORDER, numbers, strict=True))


_COLLECTED = "the table of published results in the repository jindongwang/transferlearning, data/benchmark.md"
UNSUPERVISED_ROWS: tuple[PublishedRow, ...] = (
    PublishedRow(
        "1-NN (S)", "SURF", _COLLECTED,
        _twelve(23.70, 25.76, 25.48, 26.00, 29.83, 25.48, 19.86, 22.96, 59.24, 26.27, 28.50, 63.39),
    ),
    PublishedRow(
        "SVM (S)", "SURF", _COLLECTED,
        _twelve(55.64, 45.22, 43.73, 45.77, 42.04, 39.66, 31.43, 34.76, 82.80, 29.39, 26.62, 63.39),
        doubt="C → W and C → D are exchanged there, and so are A → W and A → D: 45.22 and 42.04 are 71 and 66 of the "
        "157 pictures of Dslr, 43.73 and 39.66 are 129 and 117 of the 295 of Webcam. Its D → W is that of 1-NN to the "
        "last digit, and its kernel is not said.",
    ),
    PublishedRow(
        "Gong et al. 2012 (GFK)", "SURF", _COLLECTED,
        _twelve(41.02, 40.68, 38.85, 40.25, 38.98, 36.31, 30.72, 29.75, 80.89, 30.28, 32.05, 75.59),
        doubt="Printed in one table for 20 and for 100 dimensions, with the same numbers.",
    ),
    PublishedRow(
        "Fernando et al. 2013 (SA), 1-NN", "SURF", _COLLECTED,
        _twelve(49.27, 40.00, 39.49, 39.98, 33.22, 33.76, 35.17, 39.25, 75.16, 34.55, 39.87, 76.95),
        doubt="30 dimensions.",
    ),
    PublishedRow(
        "SVM (S)", "DeCAF6", "no text we could read", {(WEBCAM, DSLR): 100.0, (DSLR, WEBCAM): 98.3}, confirmed=False
    ),
)  # fmt: skip
