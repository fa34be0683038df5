//! The time of the API server. The clock of a laptop may be wrong, and times in objects are those of the cluster.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use http::header::DATE;
use jiff::{SignedDuration, Timestamp};

/// The difference that the header Date cannot show: it has whole seconds, and the response takes a moment.
const TOLERANCE: i64 = 3;

/// The clock of the API server, by the header Date of its last response.
#[derive(Debug, Clone, Default)]
pub(super) struct Clock {
    ahead: Arc<AtomicI64>,
}

impl Clock {
    /// The time. Before the first response: that of this machine.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::now().saturating_add(self.ahead()).unwrap_or_else(|_| Timestamp::now())
    }

    /// How far the API server's clock is ahead of the one of this machine.
    pub(super) fn ahead(&self) -> SignedDuration {
        SignedDuration::from_secs(self.ahead.load(Ordering::Relaxed))
    }

    /// Takes the time of a response.
    pub(super) fn set(&self, headers: &http::HeaderMap, here: Timestamp) {
        let Some(there) = headers.get(DATE).and_then(|date| date.to_str().ok()).and_then(parse) else { return };
        // Both in whole seconds, as the header is.
        let ahead = there.as_second().saturating_sub(here.as_second());
        self.ahead.store(if ahead.abs() <= TOLERANCE { 0 } else { ahead }, Ordering::Relaxed);
    }
}

fn parse(date: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(date).ok().map(|date| date.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_the_servers_unless_both_clocks_agree() {
        let here: Timestamp = "2026-06-01T12:00:00Z".parse().unwrap();
        for (date, ahead) in [
            ("Mon, 01 Jun 2026 12:00:02 GMT", 0),
            ("Mon, 01 Jun 2026 13:00:00 GMT", 3600),
            ("Fri, 01 May 2026 12:00:00 GMT", -31 * 86_400),
            ("soon", 0),
        ] {
            let clock = Clock::default();
            let mut headers = http::HeaderMap::new();
            headers.insert(DATE, date.parse().unwrap());
            clock.set(&headers, here);
            assert_eq!(clock.ahead(), SignedDuration::from_secs(ahead), "{date}");
        }
    }
}
