//! Redis.

mod cuts;
mod hostile;
mod late;
mod page;
mod proxy;
mod stand;
mod trials;
mod troubles;
mod two_passwords;
