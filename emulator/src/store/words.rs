//! The words of a text, as the filters `all` and `description` compare them. Recorded from AWS; the user guide says only that there are words.

/// Characters that separate words.
const SEPARATORS: [char; 7] = ['/', '-', '_', '+', '=', '.', '@'];

/// Whether every word of the pattern is the beginning of a word of the text, without regard to case.
pub(super) fn has_words(text: &str, pattern: &str) -> bool {
    let (found, wanted) = (words(text), words(pattern));
    !wanted.is_empty() && wanted.iter().all(|wanted| found.iter().any(|word| word.starts_with(wanted)))
}

/// In lower case. A text with two different separators is one word.
fn words(text: &str) -> Vec<String> {
    let mut separators = SEPARATORS.into_iter().filter(|separator| text.contains(*separator));
    let parts: Vec<&str> = match (separators.next(), separators.next()) {
        (Some(_), Some(_)) => return vec![text.to_lowercase()],
        (Some(separator), None) => text.split(separator).collect(),
        _ => vec![text],
    };
    let words = parts.into_iter().flat_map(split_by_case).map(|word| word.trim().to_lowercase());
    words.filter(|word| !word.is_empty()).collect()
}

/// A character that is no lower-case letter begins a word if lower-case letters follow, which belong to the word. What is between such words is a
/// word as well: `COMPANYthings` has the words `COMPAN` and `Ythings`.
fn split_by_case(text: &str) -> Vec<&str> {
    let lower = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_lowercase);
    let starts = text.char_indices().filter(|(at, first)| !lower(*at) && lower(at + first.len_utf8()));
    let (mut words, mut rest) = (Vec::new(), 0);
    for (start, first) in starts {
        let after = start + first.len_utf8();
        let length = text.get(after..).unwrap_or_default().bytes().take_while(u8::is_ascii_lowercase).count();
        words.extend(text.get(rest..start));
        rest = after + length;
        words.extend(text.get(start..rest));
    }
    words.extend(text.get(rest..));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_at_one_kind_of_separator_and_begin_before_lower_case() {
        for (text, wanted) in [
            ("prod/AppBeta/x", &["prod", "app", "beta", "x"][..]),
            ("prod-AppBeta/x", &["prod-appbeta/x"]),
            ("uat/COMPANYthings", &["uat", "compan", "ythings"]),
            ("COMPANY", &["company"]),
            ("Database things of é1", &["database", "things", "of", "é1"]),
            ("+", &[]),
            ("", &[]),
        ] {
            assert_eq!(words(text), wanted, "{text}");
        }
    }
}
