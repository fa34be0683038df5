//! Redis.

mod cuts;
mod hostile;
mod late;
mod page;
mod proxy;
mod stand;
mod troubles;
mod two_passwords;
