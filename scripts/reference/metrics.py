"""Numbers for crates/limbeck-text/tests/metrics.rs.

Made with Python 3, numpy 2.4.6, scikit-learn 1.9.1, scipy 1.17.1:
    pip install numpy==2.4.6 scikit-learn==1.9.1 scipy==1.17.1
    python scripts/reference/metrics.py
"""

import numpy
from scipy.stats import binomtest, pearsonr, spearmanr
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    matthews_corrcoef,
    precision_recall_fscore_support,
)

CLASS_CASES = {
    "binary": ([1, 0, 1, 1, 0, 0, 1, 0, 1, 1], [1, 0, 0, 1, 0, 1, 1, 0, 1, 0]),
    "three classes": ([0, 2, 1, 0, 0, 1, 2, 2, 1, 0, 2], [0, 1, 2, 0, 0, 1, 1, 2, 2, 0, 2]),
    "a class never predicted": ([0, 0, 1, 1, 0], [0, 2, 1, 2, 0]),
    "constant prediction": ([1, 1, 1, 1], [1, 0, 1, 0]),
    "constant gold": ([1, 0, 1, 1], [1, 1, 1, 1]),
    "all right": ([2, 0, 1], [2, 0, 1]),
    "all wrong": ([1, 0, 1, 0], [0, 1, 0, 1]),
}
SCORE_CASES = {
    "no ties": ([0.1, 2.3, 4.0, 3.9, 1.2], [0.0, 2.0, 5.0, 3.5, 2.5]),
    "ties": ([1.0, 2.0, 2.0, 3.0, 5.0, 5.0, 5.0], [2.0, 1.0, 4.0, 4.0, 4.0, 5.0, 3.0]),
    "monotone": ([1.0, 2.0, 3.0, 4.0], [1.0, 10.0, 100.0, 1000.0]),
    "large offset": ([1e9 + 1, 1e9 + 2, 1e9 + 4, 1e9 + 3], [1.0, 2.0, 3.0, 5.0]),
}

for name, (predicted, gold) in CLASS_CASES.items():
    print(name)
    print("  accuracy", accuracy_score(gold, predicted))
    binary = f1_score(gold, predicted, labels=[1], average="macro", zero_division=0)
    print("  f1 of class 1", binary)
    print("  f1 macro", f1_score(gold, predicted, average="macro", zero_division=0))
    print("  f1 micro", f1_score(gold, predicted, average="micro"))
    print("  matthews", matthews_corrcoef(gold, predicted))
predicted, gold = CLASS_CASES["three classes"]
print(confusion_matrix(gold, predicted).tolist())
print(numpy.array(precision_recall_fscore_support(gold, predicted)).T.tolist())
for name, (x, y) in SCORE_CASES.items():
    print(name, "pearson", pearsonr(x, y).statistic, "spearman", spearmanr(x, y).statistic)
for hits, count in [(8, 10), (0, 5), (5, 5), (790, 872)]:
    interval = binomtest(hits, count).proportion_ci(0.95, method="wilson")
    print("wilson", hits, count, interval.low, interval.high)
