//! Redis.

mod cuts;
mod hostile;
mod late;
mod proxy;
mod stand;
mod troubles;
mod two_passwords;
