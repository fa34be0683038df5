//! The next due times of one schedule.

use jiff::Timestamp;
use serde::Serialize;

use super::source::{self, Source};
use crate::desired::Rotation;
use crate::plugin::Trouble;
use crate::plugin::args::ScheduleArgs;
use crate::schedule::{Clock, Effect, Schedule, Span};

/// The fields of `schedule -o json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    /// The file of the manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<String>,
    /// The schedule with the other fields that determine the times, as in status.schedule. Absent if nothing is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) schedule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) time_zone: Option<String>,
    pub(super) items: Vec<Item>,
    pub(super) notes: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Item {
    pub(super) due_time: Timestamp,
    /// The same time in the time zone of the object.
    pub(super) local: String,
    pub(super) effect: &'static str,
    /// When the rotation happens, at the earliest if the object has no uid yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rotation_time: Option<Timestamp>,
    /// End of the excluded period that defers the rotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) excluded_until: Option<Timestamp>,
    /// For the text.
    #[serde(skip)]
    pub(super) words: String,
}

pub(super) fn document(source: &Source, args: &ScheduleArgs, now: Timestamp) -> Result<Document, Trouble> {
    let mut document = Document {
        namespace: source.namespace.clone(),
        name: source.name.clone(),
        file: source.file.clone(),
        schedule: None,
        time_zone: None,
        items: Vec::new(),
        notes: source.notes.clone(),
    };
    let (clock, expression, suspended) = match &source.rotation {
        Rotation::Never => {
            document.notes.push("spec.rotation is not set: nothing is rotated on a schedule".to_owned());
            return Ok(document);
        }
        Rotation::Refused(refusal) => return Err(Trouble::wrong(source.named(&refusal.message))),
        Rotation::Lambda(lambda) => {
            let config = lambda.config.as_ref().map_err(|refusal| Trouble::wrong(source.named(&refusal.message)))?;
            document.notes.push("AWS runs this schedule and chooses the time in the window; excluded periods have no effect".to_owned());
            (source::plain(config.schedule.clone())?, config.rules.describe(), lambda.suspended)
        }
        Rotation::Scheduled { clock, expression, suspended, .. } => {
            let further = args.exclude_periods.as_ref().map(|periods| periods.0.as_slice()).unwrap_or_default();
            let clock = clock.clone().excluding(&source.excluded).excluding(further);
            (if source.uid_known { clock } else { clock.without_offset() }, expression.clone(), *suspended)
        }
    };
    if suspended {
        document.notes.push("spec.rotation.suspend is true: nothing is rotated until it is false".to_owned());
    }
    notes(&clock, source, &mut document.notes);
    let first = source.first(&clock, now);
    let count = usize::from(args.count);
    let forecasts = first.map(|first| clock.forecast(first, now, count)).unwrap_or_default();
    document.items = forecasts.into_iter().map(|forecast| item(&clock, forecast.due, forecast.effect, now, source.uid_known)).collect();
    document.time_zone = Some(clock.time_zone().to_owned());
    document.schedule = Some(expression);
    Ok(document)
}

fn notes(clock: &Clock, source: &Source, notes: &mut Vec<String>) {
    if clock.schedule().has_either_day() {
        notes.push(
            "day of month and day of week are both set: every day that matches one of them is due. For the second Monday of the month \
             write MON#2 and * as the day of month"
                .to_owned(),
        );
    }
    if matches!(clock.schedule(), Schedule::Rate(_) | Schedule::AfterDays(_)) && source.change.is_none() {
        notes.push("the interval counts from the last change of the value; here it counts from now".to_owned());
    }
    if !clock.duration().is_zero() && !source.uid_known {
        notes.push(format!(
            "each object rotates at its own offset within the window of {}, which its uid determines",
            Span(clock.duration())
        ));
    }
}

fn item(clock: &Clock, due: Timestamp, effect: Effect, now: Timestamp, uid_known: bool) -> Item {
    let at = |time: Timestamp| {
        if uid_known || clock.duration().is_zero() {
            clock.local(time)
        } else {
            format!("{}, or up to {} later", clock.local(time), Span(clock.duration()))
        }
    };
    let (word, time, until, words) = match effect {
        Effect::Rotates(time) if due < now => ("Overdue", Some(time), None, "overdue: rotates now".to_owned()),
        Effect::Rotates(time) => ("Rotates", Some(time), None, at(time)),
        Effect::Deferred(time, end) => ("Deferred", Some(time), Some(end), format!("{} (excluded until {})", at(time), clock.local(end))),
        Effect::Covered => ("Covered", None, None, "excluded: the deferred rotation serves this due time too".to_owned()),
    };
    Item { due_time: due, local: clock.local(due), effect: word, rotation_time: time, excluded_until: until, words }
}
