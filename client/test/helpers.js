import { World } from './world.js';

export const types = (socket) => socket.log.map((event) => event.type);
export const events = (socket, type) => socket.log.filter((event) => event.type === type);
export const last = (socket, type) => events(socket, type).at(-1);
export const received = (socket) => events(socket, 'message').map((event) => event.data);

/** What a socket said, but for what each page says once. */
export const said = (socket) => socket.sent.filter(({ type }) => type !== 'loaded');
/** What a connection offered beside adieu.v1, `first` for any first visit. */
export const offered = (socket) =>
  socket.protocols.slice(1).map((name) => name.replace(/^adieu\.first\.[\w-]{22}$/, 'first'));
/** The entry of a socket in the storage. */
export const stored = (page, key = 'adieu:wss://a.test/live') =>
  JSON.parse(page.storage.getItem(key));

/** A page with an open session. */
export const opened = async (prepare = () => {}, options = {}) => {
  const world = new World();
  prepare(world);
  const page = world.page(options);
  const socket = page.open();
  await world.advance(10);
  return { world, gateway: world.gateway, page, socket, session: world.gateway.session };
};
