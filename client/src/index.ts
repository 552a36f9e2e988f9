export type { SocketUrl } from './arguments.js';
export type { Source } from './ask.js';
export { AdieuSocket, type AdieuSocketOptions } from './socket.js';
export type {
  AdieuSocketEventMap,
  AdieuSocketHandlers,
  EndedDetail,
  EndedReason,
  InterruptedDetail,
  ResumedDetail,
  WarningDetail,
} from './events.js';
export type { Data } from './wire.js';
