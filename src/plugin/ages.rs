//! Ages in kubectl's format, and times in the future in the same format.

use jiff::{SignedDuration, Timestamp};

/// Formats as `HumanDuration` of k8s.io/apimachinery, which `kubectl get` uses for AGE. A negative duration is `0s`.
pub(super) fn human(span: SignedDuration) -> String {
    let seconds = span.as_secs().max(0);
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let days = hours / 24;
    match () {
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => two(hours, "h", minutes % 60, "m"),
        () if hours < 48 => format!("{hours}h"),
        () if days < 8 => two(days, "d", hours % 24, "h"),
        () if days < 730 => format!("{days}d"),
        () if days < 2920 => two(days / 365, "y", days % 365, "d"),
        () => format!("{}y", days / 365),
    }
}

fn two(large: i64, unit: &str, small: i64, below: &str) -> String {
    if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small}{below}") }
}

/// Time since `then`.
pub(super) fn since(then: Timestamp, now: Timestamp) -> String {
    human(now.duration_since(then))
}

/// `in 3d4h`, or `5m ago`.
pub(super) fn until(then: Timestamp, now: Timestamp) -> String {
    if then > now { format!("in {}", human(then.duration_since(now))) } else { format!("{} ago", since(then, now)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_those_of_kubectl() {
        let (minute, hour, day) = (60, 3600, 86_400);
        for (seconds, expected) in [
            (-5, "0s"),
            (0, "0s"),
            (119, "119s"),
            (2 * minute, "2m"),
            (2 * minute + 5, "2m5s"),
            (10 * minute + 5, "10m"),
            (179 * minute, "179m"),
            (3 * hour, "3h"),
            (3 * hour + 10 * minute, "3h10m"),
            (8 * hour + 10 * minute, "8h"),
            (47 * hour, "47h"),
            (2 * day, "2d"),
            (2 * day + 3 * hour, "2d3h"),
            (8 * day + 3 * hour, "8d"),
            (729 * day, "729d"),
            (730 * day, "2y"),
            (731 * day, "2y1d"),
            (3000 * day, "8y"),
        ] {
            assert_eq!(human(SignedDuration::from_secs(seconds)), expected, "{seconds}");
        }
    }

    #[test]
    fn what_is_to_come_says_in_and_what_was_says_ago() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(until(at(100), at(40)), "in 60s");
        assert_eq!(until(at(40), at(100)), "60s ago");
        assert_eq!(since(at(40), at(100)), "60s");
    }
}
