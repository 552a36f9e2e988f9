// What outlives the page: what came, how much was said, the sessions that it had.
export const kept = (name) => JSON.parse(sessionStorage.getItem(name) ?? '[]');
export const keep = (name, value) => sessionStorage.setItem(name, JSON.stringify(value));
export const add = (name, value) => keep(name, [...kept(name), value]);

// Which page of this tab it is, from 1.
window.load = Number(sessionStorage.getItem('loads') ?? 0) + 1;
sessionStorage.setItem('loads', window.load);

const TYPES = ['open', 'resumed', 'ended', 'interrupted', 'error', 'warning', 'close'];

/** Keeps what a socket tells, and shows it. */
export const watch = (socket) => {
  socket.addEventListener('message', ({ data }) => add('received', data));
  for (const type of TYPES) {
    socket.addEventListener(type, ({ detail }) => {
      heard(socket, type, detail);
    });
  }
};

export const heard = (socket, type, detail) => {
  window.socket = socket;
  if (type === 'open' || type === 'resumed') {
    window.connectedAs = socket.sessionId;
    add('sessions', socket.sessionId);
  }
  add('events', { type, ...detail });
  const state = document.querySelector('#state');
  if (state) state.textContent = `${type} ${socket.sessionId}`;
};

export const query = new URLSearchParams(location.search);
