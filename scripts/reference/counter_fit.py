"""Counter-fitting by the paper's equations, in fp64: writes `fixtures/counter_fit.json`.

    python scripts/reference/counter_fit.py

Mrkšić et al. 2016, "Counter-fitting Word Vectors to Linguistic Constraints", section 2, over unordered pairs:

    C = k1 · sum over antonyms of max(0, delta - d)
      + k2 · sum over synonyms of max(0, d - gamma)
      + k3 · sum over near pairs of max(0, d - d0),        d = 1 - cosine, near pairs: d0 < rho, no antonyms

An epoch subtracts from every word the mean of its active terms' gradients, k · (u (u·v) - v) with the term's sign, all
taken at the epoch's beginning, and brings the word back to length 1. A word without an active term stays as it is.
Pairs that are both synonyms and antonyms are antonyms. A near pair counts as active from 1e-9 on: words at rest must not be
moved by rounding.
"""

import json
import platform
from pathlib import Path

import numpy as np

FIXTURE = Path(__file__).resolve().parents[2] / "fixtures" / "counter_fit.json"
WORDS, DIMENSIONS, EPOCHS = 60, 8, 3
SETTINGS = dict(k1=0.1, k2=0.1, k3=0.1, delta=1.0, gamma=0.0, rho=0.2)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def unordered(pairs) -> set:
    return {(min(a, b), max(a, b)) for a, b in pairs if a != b}


def terms(vectors, original, synonyms, antonyms, k1, k2, k3, delta, gamma, rho):
    """Every active term: the pair, the sign and weight of its distance in C, and its value."""
    distance = 1.0 - vectors @ vectors.T
    distance0 = 1.0 - original @ original.T
    for a, b in sorted(antonyms):
        if distance[a, b] < delta:
            yield a, b, -k1, k1 * (delta - distance[a, b])
    for a, b in sorted(synonyms - antonyms):
        if distance[a, b] > gamma:
            yield a, b, k2, k2 * (distance[a, b] - gamma)
    for a in range(len(vectors)):
        for b in range(a + 1, len(vectors)):
            near = distance0[a, b] < rho and (a, b) not in antonyms
            if near and distance[a, b] - distance0[a, b] > 1e-9:
                yield a, b, k3, k3 * (distance[a, b] - distance0[a, b])


def epoch(vectors, original, synonyms, antonyms, settings):
    gradient, count, loss = np.zeros_like(vectors), np.zeros(len(vectors)), 0.0
    for a, b, weight, value in terms(vectors, original, synonyms, antonyms, **settings):
        loss += value
        for u, v in ((a, b), (b, a)):
            gradient[u] += weight * (vectors[u] * (vectors[u] @ vectors[v]) - vectors[v])
            count[u] += 1
    moved = count > 0
    updated = vectors.copy()
    updated[moved] = unit(vectors[moved] - gradient[moved] / count[moved, None])
    return updated, loss


def main() -> None:
    random = np.random.default_rng(20)
    # Words stand in groups, so that some are nearer than rho.
    centres = random.normal(size=(WORDS // 4, DIMENSIONS))
    initial = (np.repeat(centres, 4, axis=0) + 0.35 * random.normal(size=(WORDS, DIMENSIONS))).astype(np.float32)
    pairs = lambda count: [tuple(map(int, pair)) for pair in random.integers(0, WORDS, size=(count, 2))]
    synonyms, antonyms = pairs(14), pairs(8)
    antonyms += [synonyms[0], (antonyms[0][1], antonyms[0][0]), (0, 1)]  # both, repeated, and near at the beginning

    original = unit(initial.astype(np.float64))
    vectors, losses = original, []
    for _ in range(EPOCHS):
        vectors, loss = epoch(vectors, original, unordered(synonyms), unordered(antonyms), SETTINGS)
        losses.append(float(loss))
    losses.append(float(epoch(vectors, original, unordered(synonyms), unordered(antonyms), SETTINGS)[1]))
    distance0 = 1.0 - original @ original.T
    near = sum(
        distance0[a, b] < SETTINGS["rho"] and (a, b) not in unordered(antonyms)
        for a in range(WORDS)
        for b in range(a + 1, WORDS)
    )
    values = {
        "made_with": {"numpy": np.__version__, "python": platform.python_version()},
        "settings": SETTINGS,
        "epochs": EPOCHS,
        "synonyms": synonyms,
        "antonyms": antonyms,
        "near_pairs": int(near),
        "initial": [[float(x) for x in row] for row in initial],
        "fitted": [[round(float(x), 9) for x in row] for row in vectors],
        "losses": losses,
    }
    lines = (f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in values.items())
    FIXTURE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{near} near pairs, losses {losses}")


if __name__ == "__main__":
    main()
