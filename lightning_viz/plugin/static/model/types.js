/**
 * The shapes that travel between modules, known in all of them by name. Only types: nothing here runs, nobody imports it.
 *
 * @typedef {Object} Run  One run, as the server lists it.
 * @property {string} run
 * @property {"store" | "images"} source  "images": there is no store, only what TensorBoard kept.
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
 * @property {string} url  where to fetch it; also its key in the cache
 *
 * @typedef {Object} Rec  What one callback produced for one layer at one moment.
 * @property {number} seq
 * @property {string} method
 * @property {string} name  What tells two callbacks of a method apart.
 * @property {string} layer  And what tells its callback from others that draw the layer; see `inRow`.
 * @property {number} epoch
 * @property {number} step
 * @property {string | null} probe
 * @property {string | null} photographs  Where the images of its probe are; their number follows.
 * @property {string | null} error
 * @property {Record<string, number | string>} scalars
 * @property {Meta} meta
 * @property {Item[]} items
 *
 * What callbacks say beside their values, per method: the keys are those of http_api.md, and all that the page reads. A
 * store may come from anywhere, so each may be missing or something else: who reads one looks first.
 *
 * @typedef {number | string} Num  "NaN", "Infinity" and "-Infinity" are strings.
 * @typedef {{kernel: number[], stride: number[], columns: number, scale: string, vmin: Num, vmax: Num}} FiltersMeta
 * @typedef {{vmin: Num, vmax: Num, units: number[], unit_count: number, size: number[], zeros: Num}} ActivationsMeta
 * @typedef {{vmin: Num, vmax: Num, size: number[], predictions: Prediction[]}} AttributionMeta  Saliency and Grad-CAM.
 * @typedef {AttributionMeta & {square: unknown, class_names: string[] | null}} OcclusionMeta
 * @typedef {{units: number[], positions: number[][], activations: Num[], bounds: Record<string, Num>, boxes: number[][], size: number[]}} ReconstructionMeta  By image; bounds by rule.
 * @typedef {{units: number[], k: number, tile: number[], box: number[], images: number, unit_count: number}} PatchesMeta  Of patches and evolution.
 * @typedef {{points: {hash: string, count: number, thumbnail: number[] | null, columns: number}, class_names: string[] | null}} EmbeddingMeta
 * @typedef {{kind: string, targets: Target[], columns: number, tile: number[], start: string, steps: number, regularisation: string, reference: number}} ClassModelMeta
 * @typedef {{order: number, image: number, unit: number | null, size: number[], steps: number, octaves: number[][]}} DreamMeta
 * @typedef {{left_out: Record<string, number[]>}} AnyMeta  The shapes of values that were too large to be kept, by name.
 * @typedef {Partial<AnyMeta & FiltersMeta & ActivationsMeta & OcclusionMeta & ReconstructionMeta & PatchesMeta & ClassModelMeta & DreamMeta & EmbeddingMeta>} Meta
 *
 * @typedef {{label: number | null, shown: number, predicted: number, label_name: string | null, shown_name: string,
 *   predicted_name: string, shown_score: Num, predicted_score: Num, shown_probability: Num, predicted_probability: Num}} Prediction  The map is about the class `shown`.
 *
 * @typedef {{unit: number, name: string, score: Num | null, probability: Num | null, is_best: boolean, mark: "dead" | "stopped" | null}} Target  Of a synthesised image: a class, or a unit.
 *
 * @typedef {{images: {tag: string, step: number, wall_time: number, key: string}[], limit: number}} Kept
 * @typedef {{steps: number[], values: (number | string)[]}} Series
 *
 * @typedef {Object} Unit  The unit that was clicked, or is under the pointer.
 * @property {string} layer
 * @property {number} unit
 *
 * @typedef {Object} State  What the page knows whatever view is shown; see state.js. Views add their own to it.
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
 * @property {"unit" | null} page  "unit": the page of the chosen unit lies over the view.
 * @property {boolean} playing
 * @property {boolean} help
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
 * @typedef {(props: any) => import("../vendor/htm-preact-3.1.1.js").VNode | null} Component
 *
 * @typedef {Object} UnitSection  A part of the page of a unit: a row with a cell per run, or one for all runs.
 * @property {string} key
 * @property {number} order  Where it stands among the others, the least at the top.
 * @property {string[]} methods  Whose records it shows.
 * @property {(lists: Rec[][], unit: Unit) => string} title
 * @property {(records: Rec[], layer: string) => boolean} has  Whether a run has it.
 * @property {(records: Rec[], unit: Unit, epoch: number) => Ref[]} refs  What it will ask of the cache.
 * @property {Component} [Cell]  Draws it for one run; gets UnitProps.
 * @property {Component} [Joint]  Or for all runs; gets UnitProps and the width of the page.
 *
 * @typedef {StageProps & {unit: Unit, records: Rec[], run: Run, room: {width: number, height: number}}} UnitProps
 */

/**
 * Changes the state, of which a view knows the common part and its own.
 * @template [Own=unknown]
 * @typedef {<A extends unknown[]>(change: (state: State & Own, ...args: A) => State, ...args: A) => void} Dispatch
 */

/**
 * One part of the state: how it begins, and how the address tells it. Without a key the address does not.
 * @template [T=any]
 * @typedef {Object} Field
 * @property {T} initial  Not written.
 * @property {string} [key]  In the address; it and what is written there never change: links last.
 * @property {(value: T) => string | undefined} [write]  Undefined: nothing is written.
 * @property {(text: string) => T | undefined} [read]  The text may come from anyone; undefined: it makes no sense.
 * @property {boolean} [escape]  Whether the key Escape makes it as it was at the beginning.
 */

/**
 * @template [Own=any]
 * @typedef {{[Name in keyof Own]: Field<Own[Name]>}} Fields
 */

/**
 * What a view gets to draw one layer of one run at one epoch.
 * @template [Own=unknown]
 * @typedef {Object} CellProps
 * @property {Rec} record
 * @property {string | null} error  Why what would be newer than the record is missing.
 * @property {Rec[]} records  All of the run.
 * @property {Rec[][]} lists  All of the shown runs.
 * @property {number} epoch
 * @property {Rec[]} related  Every record of the layer, of all shown runs and epochs.
 * @property {{width: number, height: number}} room  In CSS pixels.
 * @property {State & Own} state
 * @property {Dispatch<Own>} dispatch
 * @property {(epoch: number) => void} go
 * @property {import("../io/blob_cache.js").Blobs} blobs
 */

/**
 * What a view gets to draw all.
 * @template [Own=unknown]
 * @typedef {Object} StageProps
 * @property {State & Own} state
 * @property {Run[]} runs  The shown ones.
 * @property {Rec[][]} lists  Their records.
 * @property {Dispatch<Own>} dispatch
 * @property {View} view
 * @property {number} epoch
 * @property {(epoch: number) => void} go
 * @property {string} below  The title of the view that the page of a unit lies over.
 * @property {import("../io/blob_cache.js").Blobs} blobs
 */

/**
 * One way to show the records of some methods; see views/registry.js. `Own` are its parts of the state.
 * @template [Own=any]
 * @typedef {Object} View
 * @property {string} name  In the address.
 * @property {string[]} methods
 * @property {string} title
 * @property {number} [order]  Of its tab among the others; without, it stands last.
 * @property {string} [help]  What the help says about it, after its title and a colon.
 * @property {Scales} [scales]  Where there is a choice.
 * @property {Fields<Own>} [state]
 * @property {URL} [css]  Its sheet.
 * @property {number} [beat]  Milliseconds between epochs while playing, where it takes time to see what moved.
 * @property {Component} [Tools]  What it adds to the toolbar; gets the state and `dispatch`.
 * @property {Component} [Cell]  Draws a record, in rows of layers and columns of runs; gets CellProps.
 * @property {Component} [Top]  Stands above all cells; gets StageProps.
 * @property {Component} [Above]  Stands above the cells of a row; gets StageProps, a row, the width of the stage and that of a column.
 * @property {Component} [Stage]  Or draws everything itself; gets StageProps.
 * @property {(lists: Rec[][]) => Row[]} [rows]  Else the layers of the first method.
 * @property {(records: Rec[], method: string, layer: string, epoch: number) => import("./records.js").Found} [find]  Else
 *   the record of exactly that epoch.
 * @property {(lists: Rec[][]) => number} [narrowest]  Runs stand below each other when their columns would be narrower.
 * @property {(record: Rec, state: State & Own) => Ref[]} [needs]  What a cell will ask of the cache.
 * @property {(lists: Rec[][], state: State & Own, epoch: number) => Ref[]} [refs]  Or what all will ask of it.
 * @property {UnitSection[]} [unitSections]  What it adds to the page of a unit.
 */
