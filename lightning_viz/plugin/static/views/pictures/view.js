/** The pictures of any method as they were drawn: for methods without a view. */

import { PicturesCell, picturesNeeded } from "../../components/pictures_cell.js";
import { title } from "../../render/text.js";

/**
 * @param {string} method
 * @param {string} name
 * @returns {import("../../model/types.js").View}
 */
export const picturesOf = (method, name) => ({ name, methods: [method], title: title(method), scales: null, Cell: PicturesCell, needs: picturesNeeded });
