//! Strategies against real servers, and against servers that misbehave.

mod alternating;
mod alternating_cuts;
mod alternating_retired;
mod alternating_rights;
mod bound;
mod cuts;
mod cutting;
mod hostile;
mod mysql;
mod mysql_alternating;
mod mysql_alternating_cuts;
mod mysql_alternating_rights;
mod mysql_cuts;
mod mysql_docs;
mod mysql_dual;
mod mysql_hostile;
mod mysql_logs;
mod mysql_pair;
mod mysql_proxy;
mod mysql_stand;
mod proxy;
mod redis;
mod single_user;
mod stand;
mod troubles;
mod webhook;
