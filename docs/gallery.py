"""Make a picture of the README: what one method drew in one run, at some epochs side by side, enlarged.

python docs/gallery.py runs/kernel_and_stride/kernel_11_stride_4/version_0 filters docs/filter_images.png --epochs 0 12
"""

import argparse
from pathlib import Path

from PIL import Image

from lightning_viz.store import read_store, store_folder

GAP = 24


def main() -> None:
    """Read the store, paste, and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="the run's folder")
    parser.add_argument("method", help='e.g. "filters"')
    parser.add_argument("picture", help="the PNG to write")
    parser.add_argument("--epochs", type=float, nargs="+", required=True)
    parser.add_argument("--zoom", type=int, default=3)
    arguments = parser.parse_args()
    folder = Path(store_folder(arguments.run))
    drawn = {
        record.epoch: Image.open(folder / record.items[0].file)
        for record in read_store(str(folder)).records
        if record.method == arguments.method and record.items
    }
    enlarged = [
        drawn[epoch].resize([size * arguments.zoom for size in drawn[epoch].size], Image.Resampling.NEAREST)
        for epoch in arguments.epochs
    ]
    width = sum(picture.width + GAP for picture in enlarged) - GAP
    page = Image.new("RGB", (width, max(picture.height for picture in enlarged)), "white")
    left = 0
    for picture in enlarged:
        page.paste(picture, (left, 0))
        left += picture.width + GAP
    page.save(arguments.picture, optimize=True)


if __name__ == "__main__":
    main()
