/**
 * The shapes that travel between modules. Only types: nothing here runs.
 *
 * @typedef {Object} Run  One run, as the server lists it.
 * @property {string} run
 * @property {"store" | "images"} source  "images": there is no store, only what TensorBoard kept.
 * @property {string} model
 * @property {Record<string, unknown>} hyper_parameters
 * @property {number} last_seq
 * @property {number | null} started  The wall time of its first record.
 * @property {Record<string, string>} skipped  file -> why it was left out
 *
 * @typedef {Object} Item  One file of a record.
 * @property {"picture" | "values"} kind
 * @property {string} name
 * @property {number[]} shape  (H, W, 3) of a picture, any of values; empty when not known
 * @property {string} caption
 * @property {number | null} unit
 * @property {number | null} image_id
 * @property {string} url  where to fetch it; also its key in the cache
 *
 * @typedef {Object} Rec  What one callback produced for one layer at one moment.
 * @property {number} seq
 * @property {string} method
 * @property {string} layer
 * @property {number} epoch
 * @property {number} step
 * @property {string | null} probe
 * @property {string | null} error
 * @property {Record<string, number | string>} scalars
 * @property {Record<string, any>} meta
 * @property {Item[]} items
 *
 * @typedef {{images: {tag: string, step: number, wall_time: number, key: string}[], limit: number}} Kept
 * @typedef {{steps: number[], values: (number | string)[]}} Series
 *
 * @typedef {Object} Unit  The unit that was clicked, or is under the pointer.
 * @property {string} layer
 * @property {number} unit
 *
 * @typedef {Object} State  All that the page knows; see state.js.
 * @property {"loading" | "ready" | "lost"} link  How we stand with the server.
 * @property {string} problem  Why the link is lost, in words.
 * @property {Run[]} runs
 * @property {string[]} order  Runs as TensorBoard gave them when first seen: the place gives its colour, and a shape.
 * @property {Record<string, Rec[]>} records  By run; absent: not asked yet.
 * @property {Record<string, string>} problems  By run: why its records could not be had, or "".
 * @property {Record<string, Kept>} kept  By run, for runs without a store.
 * @property {Record<string, string[]>} tags  By run.
 * @property {Record<string, Series>} series  By `seriesKey(run, tag)`.
 * @property {string[] | null} chosen  Null: we choose.
 * @property {string[]} automatic  What we chose.
 * @property {number | null} epoch  Null: the last one, also when a newer one comes.
 * @property {string | null} view  A method; null: the first.
 * @property {string | null} tag  Null: the loss.
 * @property {"filter" | "shared"} scale
 * @property {number} zoom  1: as large as fits.
 * @property {Unit | null} unit  Chosen by a click; stays while the epoch moves.
 * @property {string | null} hovered  The layer under the pointer.
 * @property {boolean} playing
 * @property {boolean} help
 *
 * @typedef {<A extends unknown[]>(change: (state: State, ...args: A) => State, ...args: A) => void} Act
 *
 * @typedef {Object} Ref  Something to fetch and decode.
 * @property {string} url
 * @property {"picture" | "values"} kind
 *
 * @typedef {{shape: number[], data: Float32Array}} Values  A decoded .npy file.
 *
 * @typedef {Object} CellProps  What a view gets to draw one layer of one run at one epoch.
 * @property {Rec} record
 * @property {Rec[]} related  Every record of the layer, of all shown runs and epochs.
 * @property {{width: number, height: number}} room  In CSS pixels.
 * @property {State} state
 * @property {Act} act
 * @property {import("./blobs.js").Blobs} blobs
 *
 * @typedef {Object} View  One way to show the records of a method; see views/index.js.
 * @property {string} method
 * @property {string} title
 * @property {boolean} scales  Whether the switch between per-filter and shared scale means something.
 * @property {(props: CellProps) => import("./vendor/htm-preact-3.1.1.js").VNode} Cell
 * @property {(record: Rec, state: State) => Ref[]} needs  What Cell will ask the cache for.
 */

export {};
