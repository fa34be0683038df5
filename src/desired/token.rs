//! Tokens of requests.

use crate::value::short_hash;

/// End of the token of a rotate request that retires the previous credential at once.
pub(crate) const EMERGENCY: &str = ":emergency";

/// Token as stored in the status. A long token is replaced by its hash, to limit the size of the status.
pub(crate) fn bounded(token: &str) -> String {
    if token.chars().count() <= 128 { token.to_owned() } else { short_hash(token.as_bytes()) }
}
