// The subprotocol adieu.v1, spoken by hand: docs/sessions.md describes it. All of the protocol is
// here; the events are those of the package @adieu/client, which can take its place.

const SUBPROTOCOL = "adieu.v1";
const RESUME = "adieu.resume.";
const HIDDEN = 4001; // the page goes or is hidden, and may come back
const RETRY_FIRST_MS = 1000; // longer than Firefox needs to leave a page whose socket it has ended
const RETRY_MAX_MS = 4000; // well within the time that the gateway waits

// Ends after which nothing is tried again: 1000 and the application's own codes.
const isFinal = (code) => code === 1000 || (code >= 4000 && code <= 4999 && code !== HIDDEN);

export class AdieuSocket extends EventTarget {
  #url;
  #key;
  #socket = null;
  #kept; // what survives a refresh
  #firstOfPage = true;
  #attempt = 0;
  #retryAfter = null; // told by the gateway
  #timers = { retry: null, heartbeat: null };
  #over = false;
  #hidden = false;

  constructor(url, key = `adieu:${url}`) {
    super();
    this.#url = url;
    this.#key = key;
    this.#kept = this.#read();
    // Never `unload` or `beforeunload`: they keep pages out of the back/forward cache.
    addEventListener("pagehide", () => this.#hide());
    addEventListener("pageshow", ({ persisted }) => persisted && this.#show());
    this.#connect();
  }

  get sessionId() {
    return this.#kept.sessionId;
  }

  // Messages that the gateway has not acknowledged.
  get unacknowledged() {
    return this.#kept.waiting.length;
  }

  // Kept until it is acknowledged, so it can be sent without a connection too.
  send(text) {
    const message = { type: "message", sequenceId: ++this.#kept.sent, text };
    this.#kept.waiting.push(message);
    this.#save();
    this.#say(message);
  }

  goodbye() {
    this.#say({ type: "goodbye" });
  }

  close(code = 1000, reason = "") {
    this.#socket.close(code, reason);
  }

  // ---- what is kept -----------------------------------------------------------------------------

  #read() {
    const fresh = { sessionId: "", token: null, received: 0, sent: 0, waiting: [] };
    try {
      return JSON.parse(sessionStorage.getItem(this.#key)) ?? fresh;
    } catch {
      return fresh;
    }
  }

  #save() {
    try {
      sessionStorage.setItem(this.#key, JSON.stringify(this.#kept));
    } catch {
      // Refused or full: the session outlives its connections, not the page.
    }
  }

  #forget() {
    this.#kept = { sessionId: "", token: null, received: 0, sent: 0, waiting: [] };
    this.#save();
  }

  // ---- connections ------------------------------------------------------------------------------

  #connect() {
    clearTimeout(this.#timers.retry);
    const { token, received } = this.#kept;
    const offers = token ? [SUBPROTOCOL, `${RESUME}${token}.${received}`] : [SUBPROTOCOL];
    const socket = new WebSocket(this.#url, offers);
    this.#socket = socket;
    this.#retryAfter = null;
    // A socket of the past has nothing more to say.
    const newest = (act) => (event) => socket === this.#socket && act(event);
    socket.addEventListener("message", newest(({ data }) => this.#hear(JSON.parse(data))));
    socket.addEventListener("close", newest((event) => this.#closed(event)));
  }

  #closed({ code, reason, wasClean }) {
    clearInterval(this.#timers.heartbeat);
    if (this.#hidden) return; // it comes back when the page does
    if (isFinal(code)) {
      this.#over = true;
      const { sessionId } = this.#kept;
      this.#forget();
      this.#tell("ended", { sessionId, reason: endedBy(code), code, text: reason });
      this.dispatchEvent(new CloseEvent("close", { code, reason, wasClean }));
      return;
    }
    const longest = Math.min(RETRY_MAX_MS, 2 * RETRY_FIRST_MS * 2 ** this.#attempt++);
    // The random half keeps a thousand pages from coming back in one instant.
    const retryIn = this.#retryAfter ?? longest * (0.5 + Math.random() / 2);
    this.#timers.retry = setTimeout(() => this.#connect(), retryIn);
    this.#tell("interrupted", { code, reason, retryIn });
  }

  #hide() {
    clearTimeout(this.#timers.retry);
    this.#hidden = true;
    if (!this.#over) this.#socket.close(HIDDEN, "the page is left");
  }

  // Out of the back/forward cache: the page goes on where its tab has got to.
  #show() {
    this.#hidden = false;
    if (this.#over) return;
    this.#kept = this.#read();
    this.#connect();
  }

  // ---- what is said -----------------------------------------------------------------------------

  #say(message) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #hear(message) {
    switch (message.type) {
      case "connected": return this.#connected(message);
      case "message": return this.#message(message);
      case "sequenceAck": return this.#acknowledged(message.sequenceId);
      case "closing": this.#retryAfter = message.retryAfter;
    }
  }

  #connected(said) {
    const { sessionId, reconnectionToken, resumed, reason, generation, sequenceAck } = said;
    if (!resumed && this.#kept.token) {
      const old = this.#kept.sessionId;
      this.#forget();
      this.#tell("ended", { sessionId: old, reason: reason ?? "expired", code: 0, text: "" });
    }
    Object.assign(this.#kept, { sessionId, token: reconnectionToken });
    this.#attempt = 0;
    this.#acknowledged(sequenceAck);
    for (const message of this.#kept.waiting) this.#say(message);
    this.#beat(said.heartbeat);
    const afterPageLoad = this.#firstOfPage;
    this.#firstOfPage = false;
    if (resumed) this.#tell("resumed", { generation, afterPageLoad });
    else this.dispatchEvent(new Event("open"));
  }

  #message({ sequenceId, text, binary }) {
    if (sequenceId > this.#kept.received) {
      this.#kept.received = sequenceId;
      this.#save();
      this.dispatchEvent(new MessageEvent("message", { data: text ?? `(base64) ${binary}` }));
    }
    this.#say({ type: "sequenceAck", sequenceId: this.#kept.received });
  }

  #acknowledged(upTo) {
    const waiting = this.#kept.waiting.filter((message) => message.sequenceId > upTo);
    this.#kept.waiting = waiting;
    this.#save();
    this.#tell("acknowledged", { sequenceId: upTo });
  }

  // Only while somebody sees it: it proves that the page lives.
  #beat(every) {
    clearInterval(this.#timers.heartbeat);
    if (!every) return;
    this.#timers.heartbeat = setInterval(() => {
      if (document.visibilityState === "visible") this.#say({ type: "heartbeat" });
    }, every);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function endedBy(code) {
  return { 1000: "goodbye", 4002: "superseded", 4003: "backend", 4004: "refused" }[code]
    ?? "backend";
}
