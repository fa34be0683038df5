//! A token bucket whose rate follows throttling: it grows slowly with time, and shrinks by a factor when AWS throttles. Pure: the time is an
//! argument.

use std::time::{Duration, Instant};

/// A throttled request leaves this share of the rate.
const DECREASE: f64 = 0.6;
/// In each second, the rate grows by this share of the highest rate. After the last throttled request it is back at the highest one in less
/// than 100 seconds.
const INCREASE: f64 = 0.01;
/// The rate is never below this share of the highest rate, so that the operator notices when AWS accepts requests again.
const LOWEST: f64 = 0.02;
/// Requests that are throttled within this time after a decrease were sent before it, or meet a quota that is still exhausted: they are one
/// event.
const ONE_EVENT: Duration = Duration::from_secs(1);

/// A token that is complete but for the rounding of the sum.
const TOKEN: f64 = 1.0 - 1e-6;

/// What a bucket never exceeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ceiling {
    /// Requests per second.
    pub(super) rate: f64,
    /// Requests at once.
    pub(super) burst: f64,
}

/// The bucket of one quota at one place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    ceiling: Ceiling,
    rate: f64,
    /// Negative after requests that did not wait for a token: the SDK's retries.
    tokens: f64,
    /// Of this time are `rate` and `tokens`.
    at: Instant,
    decreased: Option<Instant>,
}

impl Bucket {
    /// A full one with the highest rate.
    pub(super) fn new(ceiling: Ceiling, now: Instant) -> Self {
        Self { ceiling, rate: ceiling.rate, tokens: ceiling.burst, at: now, decreased: None }
    }

    /// Takes a token, if there is one. Otherwise: the time until there can be one.
    pub(super) fn take(&mut self, now: Instant) -> Option<Duration> {
        self.advance(now);
        if self.tokens >= TOKEN {
            self.tokens -= 1.0;
            return None;
        }
        let wait = Duration::try_from_secs_f64((1.0 - self.tokens) / self.rate).unwrap_or(Duration::MAX);
        // A wait that is rounded to nothing would never end.
        Some(wait.max(Duration::from_micros(1)))
    }

    /// Takes a token for a request that does not wait.
    pub(super) fn charge(&mut self, now: Instant) {
        self.advance(now);
        self.tokens -= 1.0;
    }

    /// AWS has throttled a request.
    pub(super) fn throttled(&mut self, now: Instant) {
        self.advance(now);
        if self.decreased.is_some_and(|before| now.saturating_duration_since(before) < ONE_EVENT) {
            return;
        }
        self.decreased = Some(now);
        self.rate = (self.rate * DECREASE).max(self.ceiling.rate * LOWEST);
        self.tokens = self.tokens.min(0.0);
    }

    /// The rate as a share of the highest one.
    pub(super) fn ratio(&self, now: Instant) -> f64 {
        let mut then = *self;
        then.advance(now);
        then.rate / then.ceiling.rate
    }

    /// Whether it is like a new one.
    pub(super) fn is_new(&self, now: Instant) -> bool {
        let mut then = *self;
        then.advance(now);
        then.tokens >= then.ceiling.burst * TOKEN && then.rate >= then.ceiling.rate
    }

    fn advance(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.tokens = self.rate.mul_add(passed, self.tokens).min(self.ceiling.burst);
        self.rate = (self.ceiling.rate * INCREASE).mul_add(passed, self.rate).min(self.ceiling.rate);
    }
}

#[cfg(test)]
mod tests;
