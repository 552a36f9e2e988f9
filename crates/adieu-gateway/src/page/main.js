// The live page: it holds one WebSocket, keeps its own account of what the browser told it, and
// shows it beside the gateway's account of the same connection.
//
// The page must stay eligible for the back/forward cache, because what happens there is half of
// the story: no `unload` listener, and a `beforeunload` listener only while its switch is on.

import { history, onChange, store, stored, tab } from "./accounts.js";
import { refreshAges } from "./cards.js";
import {
  closeFromPage, closeFromGateway, closeOnLeaving, comeBack, connect, current, networkIsBack, note,
  reconnect, refreshStatus, say,
} from "./connection.js";
import { wireDeadLetters } from "./dead-letters.js";
import { $ } from "./elements.js";
import { wireFilters } from "./filters.js";
import { addFooter } from "./footer.js";
import { render, renderSoon } from "./list.js";
import { refreshSessions, renderSessionsSoon, wireSessions } from "./session-list.js";
import { onSessions, sessions } from "./sessions.js";
import { drawStreams } from "./streams.js";
import { wireTabs } from "./tabs.js";

function start() {
  // For tests and for the curious at the console.
  window.adieu = { tab, events: history, socket: () => current.socket, sessions };
  onChange(renderSoon);
  onSessions(renderSessionsSoon);
  wireTabs();
  wireFilters(render);
  wireSessions();
  wireDeadLetters();
  wireButtons();
  connect();
  addFooter();
  wireSwitches();
  watchThePage();
  setInterval(everySecond, 1000);
}

function everySecond() {
  refreshAges();
  drawStreams();
  refreshSessions();
  refreshStatus();
}

// ---- buttons ------------------------------------------------------------------------------------

function wireButtons() {
  press("refresh", "Refresh", () => location.reload());
  press("leave", "Leave and come back", () => {});
  press("close", "close()", () => closeFromPage());
  press("close-4001", 'close(4001, "bye")', () => closeFromPage(4001, "bye"));
  press("gateway-close-1001", "Let the server close with 1001", () => closeFromGateway(1001));
  press("gateway-close-4000", "Let the server close with 4000", () => closeFromGateway(4000));
  $("reconnect").addEventListener("click", reconnect);
  // Without an opener: a page that shares its browsing context group is barred from the
  // back/forward cache, and sessionStorage would be copied, which is this tab's identity.
  $("second-tab").addEventListener("click", () => window.open("/", "_blank", "noopener"));
  $("say").addEventListener("submit", (event) => {
    event.preventDefault();
    say($("text").value);
  });
}

// What came of it is told in the place below the button.
function press(id, label, act) {
  const place = $(id).closest(".group").querySelector(".latest").id;
  $(id).addEventListener("click", () => {
    note("action", { label, place });
    act();
  });
}

// ---- switches -----------------------------------------------------------------------------------

function wireSwitches() {
  for (const id of ["beforeunload-close", "pagehide-close"]) {
    const input = $(id);
    input.checked = stored(id) === "on";
    input.addEventListener("change", () => {
      store(id, input.checked ? "on" : "off");
      applySwitches();
    });
  }
  applySwitches();
}

// The listener itself changes what a browser does, so it exists only while it is wanted.
function applySwitches() {
  window.removeEventListener("beforeunload", onBeforeUnload);
  if ($("beforeunload-close").checked) window.addEventListener("beforeunload", onBeforeUnload);
}

function onBeforeUnload() {
  note("beforeunload");
  closeOnLeaving("beforeunload");
}

// ---- the life of the page -----------------------------------------------------------------------

const READY = ["CONNECTING", "OPEN", "CLOSING", "CLOSED"];
const readyState = () => READY[current.socket.readyState];

function watchThePage() {
  window.addEventListener("pagehide", ({ persisted }) => {
    note("pagehide", { persisted, readyState: readyState() });
    if ($("pagehide-close").checked) closeOnLeaving("pagehide");
  });
  window.addEventListener("pageshow", ({ persisted }) => {
    note("pageshow", { persisted, readyState: readyState() });
    if (persisted) comeBack();
  });
  document.addEventListener("visibilitychange", () => {
    note("visibilitychange", { visibility: document.visibilityState });
  });
  window.addEventListener("online", networkIsBack);
}

start();
