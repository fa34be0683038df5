//! One field of a cron expression: numbers, names, ranges, steps and lists, as a bit set. Shared by both cron formats,
//! which differ only in the numbering of weekdays and in the syntax outside of lists.

#![allow(clippy::arithmetic_side_effects, reason = "fields of a calendar have at most four digits")]

use super::error::{Field, Quoted, ScheduleError};

pub(super) const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
pub(super) const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// Allowed contents of a field. Text must be in upper case.
pub(super) struct Spec {
    pub(super) field: Field,
    pub(super) min: u32,
    pub(super) max: u32,
    /// Names of the values, starting at `min`.
    pub(super) names: &'static [&'static str],
    /// What to write, for the error message.
    pub(super) hint: &'static str,
}

impl Spec {
    /// A single number or name.
    pub(super) fn value(&self, text: &str) -> Option<u32> {
        if let Some(at) = self.names.iter().position(|name| *name == text) {
            return u32::try_from(at).ok().map(|at| at + self.min);
        }
        number(text).filter(|n| (self.min..=self.max).contains(n))
    }

    /// One element of a list: `v`, `v-v` or `*`, each with an optional `/step`. A step after a single value extends to
    /// the end of the field.
    pub(super) fn span(&self, element: &str) -> Option<u64> {
        let (range, step) = match element.split_once('/') {
            Some((range, step)) => {
                let step = number(step).filter(|step| (1..=self.max).contains(step))?;
                (range, Some(step))
            }
            None => (element, None),
        };
        let (first, last) = if range == "*" {
            (self.min, self.max)
        } else if let Some((first, last)) = range.split_once('-') {
            (self.value(first)?, self.value(last)?)
        } else {
            let first = self.value(range)?;
            (first, if step.is_some() { self.max } else { first })
        };
        if first > last {
            return None;
        }
        let step = usize::try_from(step.unwrap_or(1)).ok()?;
        Some((first..=last).step_by(step).fold(0, |set, v| set | bit(v)))
    }

    /// A list of [`Spec::span`]s.
    pub(super) fn list(&self, text: &str) -> Result<u64, ScheduleError> {
        text.split(',').try_fold(0, |set, element| Some(set | self.span(element)?)).ok_or_else(|| self.refuse(text))
    }

    pub(super) fn refuse(&self, text: &str) -> ScheduleError {
        self.refuse_with(text, self.hint)
    }

    pub(super) fn refuse_with(&self, text: &str, hint: &'static str) -> ScheduleError {
        ScheduleError::Field { field: self.field, value: Quoted::new(text), hint }
    }
}

/// The set that contains only `value`.
pub(super) fn bit(value: u32) -> u64 {
    1_u64.checked_shl(value).unwrap_or(0)
}

/// At most a few digits. Stricter than `str::parse`, which accepts a sign.
pub(super) fn number(text: &str) -> Option<u32> {
    let plain = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}
