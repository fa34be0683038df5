//! Strategies against real servers, and against servers that misbehave.

mod alternating;
mod alternating_rights;
mod bound;
mod cuts;
mod hostile;
mod proxy;
mod redis;
mod single_user;
mod stand;
mod troubles;
mod webhook;
