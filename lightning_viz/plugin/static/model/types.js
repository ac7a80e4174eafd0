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
 * @property {string | null} photographs  Where the images of its probe are; their number follows.
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
 * @property {string | null} view  The name of one, or a method; null: the first.
 * @property {string | null} tag  Null: the loss.
 * @property {Scale | null} scale  Null: as the view usually has it.
 * @property {number} zoom  1: as large as fits.
 * @property {Unit | null} unit  Chosen by a click; stays while the epoch moves.
 * @property {string | null} hovered  The layer under the pointer.
 * @property {number} image  Which of the probe's, where a view shows one.
 * @property {number} opacity  0: the photograph alone; 1: the map alone.
 * @property {"unit" | null} page  "unit": the page of the chosen unit lies over the view.
 * @property {FilmContent} filmContent  What a film strip shows of a unit.
 * @property {EmbeddingMode} embeddingMode  How an embedding is shown.
 * @property {boolean} grid  Whether its images are snapped to a grid.
 * @property {string | null} layer  Of the embedding; null: the first.
 * @property {number | null} emphasis  A class; the points of others are dimmed.
 * @property {Selection | null} selected  Points of the embedding.
 * @property {boolean} playing
 * @property {boolean} help
 *
 * @typedef {<A extends unknown[]>(change: (state: State, ...args: A) => State, ...args: A) => void} Dispatch
 *
 * @typedef {"projection" | "patch" | "both"} FilmContent
 *
 * @typedef {"points" | "images" | "neighbours"} EmbeddingMode
 *
 * @typedef {{sample: string, points: number[]}} Selection  Ascending, of the sample of that hash; "": the first run's.
 *
 * @typedef {Object} Sample  The images that the points of an embedding are.
 * @property {string} hash  Equal in two runs: the same images in the same order. "" where not known.
 * @property {number} count
 * @property {number} columns  Of the sheet of thumbnails; 0 without one.
 * @property {number} width  Of a thumbnail.
 * @property {number} height
 * @property {string[]} names  Of the classes, by number.
 *
 * @typedef {"own" | "shared"} Scale  Of each filter or map alone, or of all shown runs and epochs.
 *
 * @typedef {Object} Scales  What the switch between the two says in a view: a word, and an explanation.
 * @property {Scale} usual
 * @property {[string, string]} own
 * @property {[string, string]} shared
 *
 * @typedef {Object} Ref  Something to fetch and decode.
 * @property {string} url
 * @property {"picture" | "values"} kind
 *
 * @typedef {{shape: number[], data: Float32Array}} Values  A decoded .npy file.
 *
 * @typedef {Object} Row  What stands side by side for all runs.
 * @property {string} method
 * @property {string} layer
 * @property {string} [title]  The layer when there is none.
 *
 * @typedef {Object} CellProps  What a view gets to draw one layer of one run at one epoch.
 * @property {Rec} record
 * @property {string | null} error  Why what would be newer than the record is missing.
 * @property {Rec[]} records  All of the run.
 * @property {Rec[][]} lists  All of the shown runs.
 * @property {number} epoch
 * @property {Rec[]} related  Every record of the layer, of all shown runs and epochs.
 * @property {{width: number, height: number}} room  In CSS pixels.
 * @property {State} state
 * @property {Dispatch} dispatch
 * @property {(epoch: number) => void} go
 * @property {import("../io/blob_cache.js").Blobs} blobs
 *
 * @typedef {Object} StageProps
 * @property {State} state
 * @property {Run[]} runs  The shown ones.
 * @property {Rec[][]} lists  Their records.
 * @property {Dispatch} dispatch
 * @property {View} view
 * @property {number} epoch
 * @property {(epoch: number) => void} go
 * @property {string} below  The title of the view that the page of a unit lies over.
 * @property {import("../io/blob_cache.js").Blobs} blobs
 *
 * @typedef {(props: any) => import("../vendor/htm-preact-3.1.1.js").VNode | null} Component
 *
 * @typedef {Object} View  One way to show the records of some methods; see views/registry.js.
 * @property {string} name  In the address.
 * @property {string[]} methods
 * @property {string} title
 * @property {Scales | null} scales  Null: there is nothing to choose.
 * @property {URL} [css]  Its sheet.
 * @property {boolean} [opacity]  Whether maps lie over photographs.
 * @property {number} [beat]  Milliseconds between epochs while playing, where it takes time to see what moved.
 * @property {Component} [Tools]  What it adds to the toolbar; gets the state and `dispatch`.
 * @property {Component} [Cell]  Draws a record, in rows of layers and columns of runs; gets CellProps.
 * @property {Component} [Top]  Stands above all cells; gets StageProps.
 * @property {Component} [Stage]  Or draws everything itself; gets StageProps.
 * @property {(lists: Rec[][]) => Row[]} [rows]  Else the layers of the first method.
 * @property {(records: Rec[], method: string, layer: string, epoch: number) => import("./records.js").Found} [find]  Else
 *   the record of exactly that epoch.
 * @property {(lists: Rec[][]) => number} [narrowest]  Runs stand below each other when their columns would be narrower.
 * @property {Component} [Above]  Stands above the cells of a row; gets StageProps, a row and the width of the stage.
 * @property {(record: Rec, state: State) => Ref[]} needs  What will be asked of the cache.
 * @property {(lists: Rec[][], state: State, epoch: number) => Ref[]} [refs]  The same, when it is not one record per row.
 */

export {};
