//! Sessions as people meet them: the command `adieu` as a process, clients over real sockets, and a
//! backend that is told.

mod backend_trouble;
mod bad_input;
mod behind_proxies;
mod bounds;
#[cfg(target_os = "linux")]
mod cluster;
mod coming_back;
mod compression;
mod cost;
mod deliveries;
mod deploy_files;
mod drain;
mod example;
mod failing_backend;
mod faults;
mod formats;
mod heads;
mod health;
mod kill;
mod leaving;
mod lost_network;
mod many_sessions;
mod many_strangers;
mod origins;
mod port_taken;
mod refused_requests;
mod resume;
mod rust_client;
mod service_manager;
mod serving;
mod store_fails;
mod strangers;
mod strangers_memory;
mod takeover;
mod terminal;
mod webhooks;
mod world;
