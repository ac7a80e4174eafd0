"""Make a picture of the README: what one method drew in one run, at some epochs side by side, enlarged.

python docs/gallery.py runs/kernel_and_stride/kernel_11_stride_4/version_0 filters docs/filter_images.png --epochs 0 12
"""

import argparse
from pathlib import Path

from PIL import Image

from lightning_viz.store import Record, read_store, store_folder

GAP = 24


def main() -> None:
    """Read the store, paste, and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="the run's folder")
    parser.add_argument(
        "name", help='of the records: the method, unless the callback was given another; e.g. "filters"'
    )
    parser.add_argument("picture", help="the PNG to write")
    parser.add_argument("--epochs", type=float, nargs="+", required=True)
    parser.add_argument("--layer", help="the first one when omitted")
    parser.add_argument("--items", type=int, nargs="+", default=[0], help="which pictures of a record, side by side")
    parser.add_argument("--zoom", type=int, default=3)
    parser.add_argument("--gap", type=int, default=GAP)
    parser.add_argument("--down", action="store_true", help="one below the other")
    arguments = parser.parse_args()
    folder = Path(store_folder(arguments.run))
    drawn = {
        record.epoch: record
        for record in read_store(str(folder)).records
        if record.name == arguments.name and record.layer == (arguments.layer or record.layer) and record.items
    }
    pictures = [
        _enlarged(folder, drawn[epoch], item, arguments.zoom) for epoch in arguments.epochs for item in arguments.items
    ]
    _joined(pictures, arguments.gap, down=arguments.down).save(arguments.picture, optimize=True)


def _enlarged(folder: Path, record: Record, item: int, zoom: int) -> Image.Image:
    pictures = [one for one in record.items if one.kind == "picture"]
    picture = Image.open(folder / pictures[item].file)
    return picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)


def _joined(pictures: list[Image.Image], gap: int, *, down: bool) -> Image.Image:
    along = sum((picture.height if down else picture.width) + gap for picture in pictures) - gap
    across = max(picture.width if down else picture.height for picture in pictures)
    page = Image.new("RGB", (across, along) if down else (along, across), "white")
    place = 0
    for picture in pictures:
        page.paste(picture, (0, place) if down else (place, 0))
        place += (picture.height if down else picture.width) + gap
    return page


if __name__ == "__main__":
    main()
