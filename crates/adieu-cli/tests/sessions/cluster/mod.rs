//! Many nodes that share their sessions in a real Redis, behind a real HAProxy, and what goes wrong
//! with each of them.

mod deploy;
mod engine_fails;
mod failover;
mod judge;
mod kills;
mod nodes;
mod people;
mod town;
