import { StrictMode, useEffect, useState, version } from 'react';
import { createRoot } from 'react-dom/client';
import { AdieuSocket } from '@adieu/client';
import { useAdieu } from '@adieu/client/react';
import { heard, query, watch } from './kept.js';

const gateway = query.get('gateway');

// That StrictMode mounts each component twice is what is to be shown, so it is counted.
window.mounted = [];
window.reactVersion = version;
const useCount = () =>
  useEffect(() => {
    window.mounted.push('mounted');
    return () => window.mounted.push('unmounted');
  }, []);

/** The hook of the client. */
function Hook() {
  useCount();
  const on = (type) => (event) => heard(event.target, type, event.detail);
  const { sessionId } = useAdieu(gateway, {
    onopen: on('open'),
    onresumed: on('resumed'),
    onended: on('ended'),
    onclose: on('close'),
  });
  return <p>{sessionId}</p>;
}

const opened = () => {
  const socket = new AdieuSocket(gateway);
  window.socket = socket;
  watch(socket);
  return socket;
};

/** What everybody writes at first, with detach(). */
function Detach() {
  useCount();
  useEffect(() => {
    const socket = opened();
    return () => socket.detach();
  }, []);
  return null;
}

/** The same with close(), as for a WebSocket. */
function Close() {
  useCount();
  useEffect(() => {
    const socket = opened();
    return () => socket.close();
  }, []);
  return null;
}

const Part = { Hook, Detach, Close }[query.get('part')];

function App() {
  const [shown, show] = useState(true);
  window.show = show;
  return shown ? <Part /> : null;
}

createRoot(document.querySelector('#root')).render(<StrictMode><App /></StrictMode>);
