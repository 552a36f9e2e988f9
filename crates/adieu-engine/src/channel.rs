//! One connection to the engine, opened again when it is lost. It repeats nothing: a call in flight
//! when the connection is lost may have been done, and only the caller knows whether it may be done
//! twice.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{ResponsePolicy, Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::{AsyncConnectionConfig, Cmd, Value};
use tokio::sync::Mutex;

use adieu_session::Slot;

use crate::EngineError;
use crate::connect::Way;
use crate::error::lacks_functions;
use crate::library;

/// How long an answer may take. An engine that needs longer is treated as one that is away.
const ANSWER: Duration = Duration::from_secs(3);

/// How long opening a connection may take.
const CONNECT: Duration = Duration::from_secs(2);

/// What a connection is for: calls of one kind do not wait behind those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Writes of owners, and claims.
    Commits,
    /// Events on their way to the backend.
    Events,
    /// Looking, and what is done for other nodes.
    Reads,
    /// Renewals, behind which nothing may stand.
    Leases,
}

/// A call of a function.
#[derive(Debug, Default)]
pub(crate) struct Call {
    key: String,
    name: &'static str,
    args: Vec<Vec<u8>>,
}

impl Call {
    /// Of one slot.
    pub(crate) fn of(slot: Slot, name: &'static str) -> Self {
        Call { key: key_of(slot), name, args: Vec::new() }
    }

    /// Of what is there once.
    pub(crate) fn of_nodes(name: &'static str) -> Self {
        Call { key: NODES.to_owned(), name, args: Vec::new() }
    }

    pub(crate) fn arg(mut self, arg: impl Into<Vec<u8>>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub(crate) fn number(self, number: impl std::fmt::Display + Copy) -> Self {
        self.arg(number.to_string())
    }

    pub(crate) fn push(&mut self, arg: impl Into<Vec<u8>>) {
        self.args.push(arg.into());
    }

    fn command(&self) -> Cmd {
        let mut command = redis::cmd("FCALL");
        command.arg(library::function(self.name)).arg(1).arg(&self.key).arg(&self.args);
        command
    }
}

/// With what the keys of a slot begin.
pub(crate) fn key_of(slot: Slot) -> String {
    format!("adieu{{{:03x}}}", slot.number())
}

/// With what the keys begin that are there once.
pub(crate) const NODES: &str = "adieu{nodes}";

/// An open connection.
#[derive(Clone)]
enum Open {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// A connection, and how it is opened.
pub(crate) struct Channel {
    way: Arc<Way>,
    open: Mutex<(u64, Option<Open>)>,
}

impl Channel {
    pub(crate) fn new(way: Arc<Way>) -> Self {
        Channel { way, open: Mutex::new((0, None)) }
    }

    /// Makes some calls, in this order where they are of one slot. An answer for each.
    pub(crate) async fn calls(&self, calls: &[Call]) -> Vec<Result<Value, EngineError>> {
        if calls.is_empty() {
            return Vec::new();
        }
        let (number, open) = match self.open().await {
            Ok(open) => open,
            Err(error) => return calls.iter().map(|_| Err(error.clone())).collect(),
        };
        let results = match open {
            Open::Server(mut connection) => in_a_pipeline(&mut connection, calls).await,
            Open::Cluster(connection) => side_by_side(&connection, calls).await,
        };
        let lost =
            |result: &Result<Value, EngineError>| matches!(result, Err(EngineError::Away(_)));
        if results.iter().any(lost) {
            self.reopen(number).await;
        }
        if results.iter().any(|result| result.as_ref().is_err_and(lacks_functions)) {
            // Flushed, or another server: they are loaded, and the caller calls again.
            let _ = self.way.load_functions(&library::text()).await;
        }
        results
    }

    /// Makes one call.
    pub(crate) async fn call(&self, call: Call) -> Result<Value, EngineError> {
        let mut results = self.calls(std::slice::from_ref(&call)).await;
        results.pop().unwrap_or_else(|| Err(EngineError::strange("no answer")))
    }

    /// Waits until so many replicas have all that was written on this connection before; whether
    /// they have.
    pub(crate) async fn wait(&self, slots: &[Slot], replicas: usize, at_most: Duration) -> bool {
        let Ok((number, open)) = self.open().await else { return false };
        let mut command = redis::cmd("WAIT");
        command.arg(replicas).arg(at_most.as_millis() as u64);
        let answers = match open {
            Open::Server(mut connection) => vec![connection.send_packed_command(&command).await],
            Open::Cluster(connection) => {
                let of = |slot: &Slot| {
                    let (mut connection, command) = (connection.clone(), command.clone());
                    let route = routing(&key_of(*slot));
                    async move { connection.route_command(command, route).await }
                };
                join_all(slots.iter().map(of)).await
            }
        };
        if answers.iter().any(Result::is_err) {
            self.reopen(number).await;
        }
        answers.into_iter().all(|answer| match answer {
            Ok(Value::Int(have)) => usize::try_from(have).is_ok_and(|have| have >= replicas),
            _ => false,
        })
    }

    /// Sends a command as it is.
    pub(crate) async fn command(&self, command: Cmd) -> Result<Value, EngineError> {
        let (number, open) = self.open().await?;
        let result = match open {
            Open::Server(mut connection) => connection.send_packed_command(&command).await,
            Open::Cluster(mut connection) => {
                let key = command.args_iter().nth(1);
                let key = key.and_then(|arg| match arg {
                    redis::Arg::Simple(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
                    _ => None,
                });
                connection.route_command(command, routing(&key.unwrap_or_default())).await
            }
        };
        if result.as_ref().is_err_and(redis::RedisError::is_io_error) {
            self.reopen(number).await;
        }
        Ok(result?)
    }

    async fn open(&self) -> Result<(u64, Open), EngineError> {
        let mut open = self.open.lock().await;
        if open.1.is_none() {
            let opened = tokio::time::timeout(2 * CONNECT, self.way.open()).await;
            open.1 = Some(opened.map_err(|_| EngineError::Away("no connection in time".into()))??);
            open.0 += 1;
        }
        match &open.1 {
            Some(connection) => Ok((open.0, connection.clone())),
            None => Err(EngineError::Away("no connection".into())),
        }
    }

    /// The next call opens another one, if it is still this one.
    async fn reopen(&self, number: u64) {
        let mut open = self.open.lock().await;
        if open.0 == number {
            open.1 = None;
        }
    }
}

async fn in_a_pipeline(
    connection: &mut MultiplexedConnection,
    calls: &[Call],
) -> Vec<Result<Value, EngineError>> {
    if let [call] = calls {
        let answer = connection.send_packed_command(&call.command()).await;
        return vec![answer.map_err(EngineError::from).and_then(no_error)];
    }
    let mut pipeline = redis::Pipeline::with_capacity(calls.len());
    pipeline.ignore_errors();
    for call in calls {
        pipeline.add_command(call.command());
    }
    match connection.send_packed_commands(&pipeline, 0, calls.len()).await {
        Ok(answers) => answers.into_iter().map(no_error).collect(),
        Err(error) => {
            let error = EngineError::from(error);
            calls.iter().map(|_| Err(error.clone())).collect()
        }
    }
}

/// An error of the server that stands in the place of an answer.
fn no_error(value: Value) -> Result<Value, EngineError> {
    match value {
        Value::ServerError(error) => Err(EngineError::from(redis::RedisError::from(error))),
        value => Ok(value),
    }
}

async fn side_by_side(
    connection: &ClusterConnection,
    calls: &[Call],
) -> Vec<Result<Value, EngineError>> {
    let one = |call: &Call| {
        let (mut connection, command, key) = (connection.clone(), call.command(), call.key.clone());
        async move {
            let answer = connection.route_command(command, routing(&key)).await;
            answer.map_err(EngineError::from).and_then(no_error)
        }
    };
    join_all(calls.iter().map(one)).await
}

/// To the primary that has the slot of this key.
fn routing(key: &str) -> RoutingInfo {
    let route = Route::with_key(key, SlotAddr::Master);
    RoutingInfo::SingleNode(SingleNodeRoutingInfo::SpecificNode(route))
}

impl Way {
    async fn open(&self) -> Result<Open, EngineError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER));
        match self {
            Way::Server(client) => {
                let open = client.get_multiplexed_async_connection_with_config(&config).await?;
                Ok(Open::Server(open))
            }
            Way::Sentinel(sentinel) => {
                let client = sentinel.lock().await.async_get_client().await?;
                let open = client.get_multiplexed_async_connection_with_config(&config).await?;
                Ok(Open::Server(open))
            }
            Way::Cluster { client, .. } => Ok(Open::Cluster(client.get_async_connection().await?)),
        }
    }

    /// Loads the functions on each server that can be written to.
    pub(crate) async fn load_functions(&self, text: &str) -> Result<(), EngineError> {
        let mut load = redis::cmd("FUNCTION");
        load.arg("LOAD").arg("REPLACE").arg(text);
        match self.open().await? {
            Open::Server(mut connection) => connection.send_packed_command(&load).await?,
            Open::Cluster(mut connection) => {
                let all = redis::cluster_routing::MultipleNodeRoutingInfo::AllMasters;
                let routing = RoutingInfo::MultiNode((all, Some(ResponsePolicy::AllSucceeded)));
                connection.route_command(load, routing).await?
            }
        };
        Ok(())
    }
}
