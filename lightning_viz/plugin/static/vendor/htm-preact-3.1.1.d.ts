/** The part of Preact, its hooks and htm that the tab uses. */
export type Child = VNode | string | number | boolean | null | undefined | Child[];
export interface VNode { type: unknown; props: object; key: unknown }
export interface Ref<T> { current: T }

export function html(strings: TemplateStringsArray, ...values: unknown[]): VNode;
export function render(node: VNode | null, parent: Element): void;

export function useState<T>(initial: T | (() => T)): [T, (next: T | ((before: T) => T)) => void];
export function useEffect(effect: () => void | (() => void), inputs?: unknown[]): void;
export function useLayoutEffect(effect: () => void | (() => void), inputs?: unknown[]): void;
export function useRef<T>(initial: T): Ref<T>;
export function useMemo<T>(make: () => T, inputs: unknown[]): T;
export function useCallback<T extends Function>(callback: T, inputs: unknown[]): T;
