export { AdieuSocket, type AdieuSocketOptions } from './socket.js';
export type {
  AdieuSocketEventMap,
  EndedDetail,
  EndedReason,
  InterruptedDetail,
  ResumedDetail,
  WarningDetail,
} from './events.js';
