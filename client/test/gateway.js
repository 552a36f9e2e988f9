/** The other side of adieu.v1, as docs/sessions.md has it, without durability. */
export class Gateway {
  sessions = new Map();
  /** Of first visits: nonce and session. */
  visits = new Map();
  connections = [];
  violations = [];
  /** What it tells. */
  window = 15_000;
  heartbeat = 0;
  protocol = 'adieu.v1';
  /** Whether it compresses for clients that do not ask for the opposite. */
  compresses = false;
  /** Set to a text to refuse new sessions. */
  refuse = undefined;
  /** Answers a reason not to resume. */
  refuseResume = () => undefined;
  /** How often a message is sent. */
  copies = () => 1;
  /** Whether messages are committed and acknowledged at once. */
  acknowledges = true;
  answersHeartbeats = true;
  /** What `connected` says of a first visit that is repeated: a client does not go by it. */
  saysResumed = () => true;

  #tags = 0;

  constructor(world) {
    this.world = world;
  }

  accept(link, offered) {
    const connection = new ServerConnection(this, link);
    this.connections.push(connection);
    connection.offered = offered;
    const compressed = this.compresses && !offered.includes('adieu.uncompressed');
    const extensions = compressed ? 'permessage-deflate; client_no_context_takeover' : '';
    link.deliver('client', () => link.client.accepted(this.protocol, extensions));
    if (this.protocol) connection.begin(offered);
    return connection;
  }

  get last() {
    return this.connections.at(-1);
  }

  get session() {
    return [...this.sessions.values()].at(-1);
  }

  /** The backend has something for the client. */
  push(session, data) {
    session.sent.push(data);
    session.tags.push(`t${String(this.#tags++).padStart(6, '0')}-`);
    session.connection?.sendMessage(session.sent.length);
  }
}

class ServerConnection {
  heard = [];
  over = false;

  constructor(gateway, link) {
    this.gateway = gateway;
    this.link = link;
  }

  begin(offered) {
    const [, resume] = /^adieu\.resume\.(.*)$/.exec(this.#offer(offered, 'resume')) ?? [];
    const [, nonce] = /^adieu\.first\.([\w-]{22})$/.exec(this.#offer(offered, 'first')) ?? [];
    if (!resume === !nonce) this.gateway.violations.push(`offered ${offered}`);
    const [token, n, tag, a] = resume?.split('.') ?? [];
    const [session, reason] = resume ? this.#resume(token, Number(n), tag, Number(a)) : [];
    if (session) return this.#connected(session, true, undefined, Number(n));
    if (this.gateway.refuse !== undefined) {
      this.send({ type: 'refused', reason: this.gateway.refuse });
      return this.close(4004, '');
    }
    const again = nonce && this.#again(nonce);
    if (again) return this.#connected(again, this.gateway.saysResumed(), undefined, 0);
    const id = `s${this.gateway.sessions.size + 1}`;
    const fresh = {
      id, generation: 0, confirmed: 0, received: [], sent: [], tags: [], loaded: [], acked: 0,
      over: false, at: this.gateway.world.clock.now,
    };
    this.gateway.sessions.set(id, fresh);
    if (nonce) this.gateway.visits.set(nonce, fresh);
    this.#connected(fresh, false, reason, 0);
  }

  #offer(offered, kind) {
    return offered.find((name) => name.startsWith(`adieu.${kind}.`)) ?? '';
  }

  /** A first visit whose `connected` may not have arrived. */
  #again(nonce) {
    const session = this.gateway.visits.get(nonce);
    const isOld = this.gateway.world.clock.now - session?.at > 60_000;
    return session && !session.over && !session.confirmed && !isOld ? session : undefined;
  }

  #resume(token, n, tag, a) {
    const [id, generation] = token.split('_');
    const session = this.gateway.sessions.get(id);
    if (!session) return [undefined, 'invalid'];
    const reason = this.gateway.refuseResume(session);
    if (reason) return [undefined, reason];
    if (session.over) return [undefined, 'expired'];
    if (Number(generation) < session.confirmed) return [undefined, 'stale'];
    if (n < session.acked || n > session.sent.length) return [undefined, 'lost'];
    if (tag !== (session.tags[n - 1] ?? '-')) return [undefined, `another tag at ${n}: ${tag}`];
    if (!(a <= session.received.length)) return [undefined, `acknowledged ${a}`];
    session.confirmed = Number(generation);
    session.acked = n;
    return [session];
  }

  #connected(session, resumed, reason, n) {
    const older = session.connection;
    session.generation++;
    session.connection = this;
    this.session = session;
    older?.close(4002, 'superseded');
    const { window, heartbeat } = this.gateway;
    this.send({
      type: 'connected', sessionId: session.id, resumed, reason, window, heartbeat,
      reconnectionToken: `${session.id}_${session.generation}`,
      generation: session.generation, sequenceAck: session.received.length,
    });
    for (let id = n + 1; id <= session.sent.length; id++) this.sendMessage(id);
  }

  get counts() {
    return !this.over && this.session?.connection === this;
  }

  send(message) {
    if (this.over) return;
    const text = typeof message === 'string' ? message : JSON.stringify(message);
    this.link.deliver('client', () => this.link.client.receive(text));
  }

  sendMessage(sequenceId) {
    const data = this.session.sent[sequenceId - 1];
    const body = typeof data === 'string'
      ? { text: data }
      : { binary: Buffer.from(data).toString('base64') };
    const copies = this.gateway.copies();
    const tag = this.session.tags[sequenceId - 1];
    for (let i = 0; i < copies; i++) this.send({ type: 'message', sequenceId, tag, ...body });
  }

  acknowledge() {
    this.send({ type: 'sequenceAck', sequenceId: this.session.received.length });
  }

  receive(text) {
    if (!this.counts) return;
    const message = JSON.parse(text);
    this.heard.push(message);
    const { session } = this;
    const id = message.sequenceId;
    session.confirmed = session.generation;
    switch (message.type) {
      case 'loaded':
        session.loaded.push(message.ms);
        return;
      case 'message':
        if (id > session.received.length + 1) {
          return this.#violation(`message ${id} after ${session.received.length}`);
        }
        if (id === session.received.length + 1) {
          session.received.push(message.text ?? Buffer.from(message.binary, 'base64'));
        }
        if (this.gateway.acknowledges) this.acknowledge();
        return;
      case 'sequenceAck':
        if (id > session.sent.length) return this.#violation(`acknowledged ${id}`);
        session.acked = Math.max(session.acked, id);
        return;
      case 'goodbye':
        session.over = true;
        return this.close(1000, '');
      case 'heartbeat':
        if (this.gateway.answersHeartbeats) this.send({ type: 'heartbeat' });
    }
  }

  #violation(what) {
    this.gateway.violations.push(what);
    this.close(1008, what);
  }

  /** Says Close; the client's answer ends it. */
  close(code, reason) {
    if (this.over) return;
    this.#leave();
    this.link.deliver('client', () => this.link.end(code, reason));
  }

  /** The client said Close. */
  closed(code) {
    this.endedWith = code;
    const mayReturn = [4001, 4005].includes(code);
    if (this.counts && (code === 1000 || code >= 4000) && !mayReturn) this.session.over = true;
    this.#leave();
    this.link.deliver('client', () => this.link.end(code, ''));
  }

  ended(code) {
    this.endedWith ??= code;
    this.#leave();
  }

  #leave() {
    this.over = true;
    if (this.session?.connection === this) this.session.connection = undefined;
  }
}
