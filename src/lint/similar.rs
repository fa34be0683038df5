//! What a word was probably meant to be.

/// Words of other tools, and of earlier designs, for our fields.
const OTHER_WORDS: [(&str, &str); 14] = [
    ("interval", "schedule"),
    ("cron", "schedule"),
    ("every", "schedule"),
    ("days", "automaticallyAfterDays"),
    ("rotationinterval", "schedule"),
    ("window", "duration"),
    ("secretname", "name"),
    ("template", "annotations"),
    ("size", "passwordLength"),
    ("region", "region"),
    ("kmskey", "kmsKeyId"),
    ("freeze", "excludePeriods"),
    ("fields", "generate"),
    ("paused", "suspend"),
];

/// The distance of two words needs a table of the product of their lengths.
const LONGEST: usize = 64;

/// The one of `known` that `word` is probably meant to be.
pub(super) fn similar<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST {
        return None;
    }
    let lower = word.to_ascii_lowercase();
    let known: Vec<&str> = known.collect();
    if let Some(found) = known.iter().find(|candidate| candidate.eq_ignore_ascii_case(word)) {
        return Some(found);
    }
    let other = OTHER_WORDS.iter().find(|(theirs, _)| *theirs == lower).map(|(_, ours)| *ours);
    if let Some(found) = known.iter().find(|candidate| Some(**candidate) == other) {
        return Some(found);
    }
    let distance = |candidate: &str| strsim::damerau_levenshtein(&lower, &candidate.to_ascii_lowercase());
    let nearest = known.into_iter().map(|candidate| (distance(candidate), candidate)).min()?;
    (nearest.0 <= word.len().min(nearest.1.len()) / 3).then_some(nearest.1)
}

/// ` (did you mean X?)`, or nothing.
pub(super) fn did_you_mean<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    similar(word, known).map(|found| format!("; did you mean {found}?")).unwrap_or_default()
}
