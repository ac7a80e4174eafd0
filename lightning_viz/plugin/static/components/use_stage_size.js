/** How much room a stage has below what stands at its top. */

import { useLayoutEffect, useRef, useState } from "../vendor/htm-preact-3.1.1.js";

/** @returns {[import("../vendor/htm-preact-3.1.1.js").Ref<any>, {width: number, height: number}]} the stage's ref; its size, 0 when not known yet */
export function useStageSize() {
  const stage = useRef(/** @type {any} */ (null));
  const [size, setSize] = useState({ width: 0, height: 0 });
  useLayoutEffect(() => {
    const measure = () => {
      if (!stage.current.clientHeight) return; // another tab is open
      const [width, height] = [stage.current.clientWidth, stage.current.clientHeight - stage.current.querySelector(".stage-top").offsetHeight];
      setSize((before) => (before.width === width && before.height === height ? before : { width, height }));
    };
    const observer = new ResizeObserver(measure);
    observer.observe(stage.current);
    observer.observe(stage.current.querySelector(".stage-top"));
    measure();
    return () => observer.disconnect();
  }, []);
  return [stage, size];
}
