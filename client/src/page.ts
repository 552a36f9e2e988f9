/** What happens to the page. */
export interface PageListener {
  /** It goes, or is put into the back/forward cache: all of its own handlers have run. */
  hide(): void;
  /** It is back out of that cache. */
  show(): void;
  /** The network is back. */
  online(): void;
  look(visible: boolean): void;
}

const SEEN = 'visibilitychange';

export const isVisible = (): boolean => globalThis.document?.visibilityState !== 'hidden';

export const listenToPage = (page: PageListener, signal: AbortSignal): void => {
  const on = (
    target: EventTarget | undefined,
    type: string,
    then: (event: Event) => void,
    options?: AddEventListenerOptions,
  ): void => target?.addEventListener?.(type, then, { signal, ...options });

  /**
   * What the page sends in its own handlers has to leave before the Close. A page that is visible
   * hears `pagehide` and then `visibilitychange`, a page that is hidden hears only the first. This
   * function captures, so it runs before the page's own handlers; the listener that it adds is the
   * last in the list, so it runs after them.
   */
  const going = (): void => {
    on(globalThis, isVisible() ? SEEN : 'pagehide', gone, { once: true });
  };
  const gone = (): unknown => isVisible() || page.hide();

  on(globalThis, 'pagehide', going, { capture: true });
  on(globalThis, 'pageshow', (event) => {
    // Some embedded browsers tell no visibilitychange when a page goes.
    globalThis.removeEventListener(SEEN, gone);
    if ((event as PageTransitionEvent).persisted) page.show();
  });
  on(globalThis, 'online', () => page.online());
  on(globalThis.document, SEEN, () => page.look(isVisible()));
};
