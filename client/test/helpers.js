import { World } from './world.js';

export const types = (socket) => socket.log.map((event) => event.type);
export const events = (socket, type) => socket.log.filter((event) => event.type === type);
export const last = (socket, type) => events(socket, type).at(-1);
export const received = (socket) => events(socket, 'message').map((event) => event.data);

/** A page with an open session. */
export const opened = async (prepare = () => {}, options = {}) => {
  const world = new World();
  prepare(world);
  const page = world.page(options);
  const socket = page.open();
  await world.advance(10);
  return { world, gateway: world.gateway, page, socket, session: world.gateway.session };
};
