//! What the help says beside the options: what the command is, and what it takes from the
//! environment.

/// What `adieu --help` says first.
pub(crate) const ADIEU: &str = "\
WebSockets, and how they end: each ending is told once, and truthfully.

`adieu serve` is a gateway in front of your backend, `adieu check` examines any WebSocket server,
and `adieu connect` is a client. Without a command, `adieu` is `adieu serve`.";

/// What `adieu serve --help` says first.
pub(crate) const SERVE: &str = "\
Run the gateway: it holds your users' WebSockets and tells your backend who came and who left.

Clients connect to the gateway, and your backend speaks plain HTTP with it. A session outlives its
connections, so that a refresh or a lost network is not told as a departure. All on one port:

  /          the live page: how each connection ended, the sessions, the dead letters
  /session   a page that opens a session, to try one out
  /ws        WebSockets: sessions (@adieu/client, or adieu::session in Rust; the subprotocol
             adieu.v1), and any other WebSocket client
  /api/      for your backend: send to sessions and users, list them, end them
  /healthz, /readyz and /metrics, for probes and Prometheus

With --backend it sends hooks, which are signed HTTP requests to your backend: may this person have
a session, who came, who left and why, and what they said. Without options it listens on
127.0.0.1:8080, keeps sessions in memory and tells nobody.";

/// What stands behind the options.
pub(crate) const ENVIRONMENT: &str = "\
Environment:
  ADIEU_API_KEY         Key of the API, and password of the page: 16 characters or more. Without
                        it both are for this machine alone
  ADIEU_BACKEND_SECRET  Secret that hooks are signed with, like whsec_ and base64 (--backend)
  RUST_LOG              What is logged to stderr: error, warn (the default), info, debug or trace,
                        or such a level for a part of it, like warn,adieu_gateway=info. With info
                        the log also has refusals that only the client can help
  NO_COLOR              Set to anything: no colours in the log

Exit codes: 0: all ended well. 1: it could not start or go on. 2: the command line is wrong.
3: not every connection ended cleanly. 4: the backend was never told of some events.";

/// Headings of the options, in the order of the help.
pub(crate) mod heading {
    pub(crate) const LISTEN: &str = "Listen";
    pub(crate) const SITES: &str = "Sites whose pages may connect";
    pub(crate) const STORE: &str = "Store";
    pub(crate) const BACKEND: &str = "Backend (hooks)";
    pub(crate) const SESSIONS: &str = "How long a session outlives its connection";
    pub(crate) const LIMITS: &str = "Limits";
    pub(crate) const LOG: &str = "Log";
}
