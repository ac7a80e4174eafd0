/**
 * All access to the page around us: TensorBoard, a notebook, or nothing. Its plugin interface is called experimental
 * and its address arrives too late on first load, so we look at the parent ourselves, and do without where that fails.
 */

const PLUGIN = "lightning_viz";
const PREFIX = `p.${PLUGIN}.`;

/**
 * @template T
 * @param {() => T} action
 * @param {T} fallback
 * @returns {T}
 */
function attempt(action, fallback) {
  try {
    return action();
  } catch {
    return fallback;
  }
}

const hash = () => attempt(() => window.parent.location.hash, "");

/** @param {string} text */
const decode = (text) => attempt(() => decodeURIComponent(text), text);

/** Our part of the address bar. @returns {Record<string, string>} */
export function readAddress() {
  /** @type {Record<string, string>} */
  const values = {};
  for (const part of hash().split("&")) {
    const [key, value = ""] = part.split("=", 2);
    if (key.startsWith(PREFIX)) values[key.slice(PREFIX.length)] = decode(value);
  }
  return values;
}

/**
 * Put our part into the address bar, so that it can be shared; the parts of others stay.
 * @param {Record<string, string>} values
 * @param {boolean} [leaves]  Whether the browser's button leads back from here.
 */
export function writeAddress(values, leaves) {
  const [active, ...parts] = hash().replace(/^#/, "").split("&");
  if (active !== PLUGIN) return; // another tab is open, or there is no TensorBoard
  const others = parts.filter((part) => part && !part.startsWith(PREFIX));
  const ours = Object.entries(values).map(([key, value]) => `${PREFIX}${key}=${encodeURIComponent(value)}`);
  const next = `#${[active, ...others, ...ours].join("&")}`;
  const { history } = attempt(() => window.parent, window);
  if (next !== hash()) attempt(() => history[leaves ? "pushState" : "replaceState"](history.state, "", next), undefined);
}

/** Someone edited the address, or went back. @param {() => void} callback */
export function onAddressChange(callback) {
  const ours = () => hash().startsWith(`#${PLUGIN}`) && callback();
  attempt(() => window.parent.addEventListener("hashchange", ours), undefined);
}

/** Follow TensorBoard's dark mode; without a TensorBoard, the system's. @param {(dark: boolean) => void} callback */
export function followTheme(callback) {
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const tell = () => callback(attempt(() => window.parent.document.body.classList.contains("dark-mode"), system.matches));
  tell();
  attempt(() => {
    const body = window.parent.document.body;
    new MutationObserver(tell).observe(body, { attributes: true, attributeFilter: ["class"] });
  }, undefined);
  system.addEventListener("change", tell);
}

/** Write in TensorBoard's own Roboto: it is embedded in its page, and frames don't inherit fonts. */
export function borrowFont() {
  attempt(() => {
    const rules = [...window.parent.document.styleSheets].flatMap((sheet) => attempt(() => [...sheet.cssRules], []));
    const faces = rules.filter((rule) => /^@font-face[^}]*Roboto/.test(rule.cssText)).map((rule) => rule.cssText);
    const style = document.createElement("style");
    style.textContent = faces.join("\n");
    document.head.append(style);
  }, undefined);
}

/** TensorBoard's reload button, or its automatic reload. @param {() => void} callback */
export function onDataReloaded(callback) {
  attempt(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = (event) => {
      const message = JSON.parse(event.data);
      if (message.isReply) return;
      channel.port1.postMessage(
        JSON.stringify({ type: message.type, id: message.id, payload: null, error: null, isReply: true }),
      );
      if (message.type === "experimental.DataReloaded") callback();
    };
    window.parent.postMessage("experimental.bootstrap", "*", [channel.port2]);
  }, undefined);
}

/** Keys reach us only while our frame has the focus: take it when the pointer comes, unless someone types outside. */
export function takeFocusWithPointer() {
  document.documentElement.addEventListener("pointerenter", () => {
    const typing = attempt(() => window.parent.document.activeElement?.matches("input, textarea, select"), true);
    if (!document.hasFocus() && !typing) window.focus();
  });
}

/** Whether anyone can see us: TensorBoard keeps our frame, without height, when another tab is open. */
export function visible() {
  return document.visibilityState === "visible" && window.innerHeight > 0;
}
