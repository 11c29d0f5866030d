/** The part of the bundle's interface that the page uses. */
export type Child = VNode | string | number | boolean | null | undefined | readonly Child[];
export interface VNode { readonly type: unknown; readonly props: unknown; readonly key: unknown }
export type Component = (props: any) => Child;
export type Ref<T> = { current: T };
export type Cleanup = void | (() => void);

export function h(type: string | Component, props: object | null, ...children: Child[]): VNode;
export function html(strings: TemplateStringsArray, ...values: unknown[]): VNode;
export function render(tree: Child, parent: Element): void;
export function useState<T>(initial: T | (() => T)): [T, (next: T | ((before: T) => T)) => void];
export function useEffect(effect: () => Cleanup, inputs?: readonly unknown[]): void;
export function useLayoutEffect(effect: () => Cleanup, inputs?: readonly unknown[]): void;
export function useRef<T>(initial: T): Ref<T>;
export function useMemo<T>(make: () => T, inputs: readonly unknown[]): T;
export function useCallback<T>(callback: T, inputs: readonly unknown[]): T;
export function useErrorBoundary(callback?: (error: Error) => void): [Error | undefined, () => void];
